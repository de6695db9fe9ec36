"""The modules themselves, under torch's names of their files. It must not know any derivative."""
