"""gradcore beside other autograd libraries, one source for all: see README.md."""
