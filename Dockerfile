# gradcore on CUDA 12, for `docker run --gpus all`. CuPy's [ctk] wheels bring the CUDA libraries and headers it compiles
# kernels with, so that a slim Python image is enough; the driver comes from the host.
#
#     docker build -t gradcore .
#     docker run --rm --gpus all -v gradcore-kernels:/kernels gradcore
#
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS dependencies
RUN python3 -m venv /opt/gradcore
ENV PATH=/opt/gradcore/bin:${PATH} PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# Before the sources, so that a change of these does not fetch 3 GB again.
RUN pip install "numpy==2.4.*" "cupy-cuda12x[ctk]==14.2.*" "ml_dtypes==0.5.*"

FROM dependencies AS install
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY backends backends
COPY gradcore gradcore
RUN pip install --no-deps .

FROM ${PYTHON_IMAGE}
COPY --from=install /opt/gradcore /opt/gradcore
ENV PATH=/opt/gradcore/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    CUPY_CACHE_DIR=/kernels \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Compiled kernels outlive the container if a volume is mounted here.
RUN mkdir /kernels && chown 10001:10001 /kernels
VOLUME /kernels
USER 10001:10001
WORKDIR /tmp
HEALTHCHECK --interval=60s --timeout=30s --start-period=60s \
    CMD ["python3", "-c", "import gradcore; assert gradcore.cuda.is_available(); gradcore.ones(2, device='cuda').sum().item()"]
CMD ["python3", "-m", "gradcore", "--device", "cuda"]
