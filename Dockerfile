# docker build --tag registry.example/harness:0.2.0 .     with the CUDA libraries: --build-arg EXTRAS='[cuda]'
FROM python:3.11-slim
ARG EXTRAS=
RUN useradd --create-home --uid 1000 harness
COPY pyproject.toml constraints.txt README.md LICENSE /src/
COPY harness /src/harness
COPY configs /src/configs
RUN pip install --no-cache-dir --constraint /src/constraints.txt "/src${EXTRAS}" && rm -r /src
# As a number, so that Kubernetes can see that it is not root.
USER 1000
WORKDIR /home/harness
ENTRYPOINT ["harness"]
