# ftc for a GPU machine: torch's wheels bring CUDA, the host brings the driver (the NVIDIA Container Toolkit).
#
#   docker build -t ftc .                                              # the newest packages that ftc allows
#   docker build -t ftc --build-arg LOCK=recipes/my-task.lock.json .   # the packages that a recipe's lock pins
#   docker run --rm --gpus all -v "$PWD:/work" ftc apply --yes recipe.yaml
#
# The base image is named by its digest, so that two builds begin with the same bytes.
ARG BASE=python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254

FROM ${BASE} AS build
ARG LOCK=""
COPY . /src
WORKDIR /src
RUN python -m venv /opt/ftc \
 && python docs/constraints.py ${LOCK} > /tmp/constraints.txt \
 && /opt/ftc/bin/pip install --no-cache-dir --constraint /tmp/constraints.txt ".[train,quant,nvidia,report]"

FROM ${BASE}
COPY --from=build /opt/ftc /opt/ftc
ENV PATH=/opt/ftc/bin:$PATH FTC_CACHE=/cache HF_HOME=/cache/huggingface
RUN useradd --create-home --uid 1000 ftc && mkdir /cache /work && chown ftc /cache /work
USER ftc
VOLUME /cache
WORKDIR /work
ENTRYPOINT ["ftc"]
CMD ["--help"]
