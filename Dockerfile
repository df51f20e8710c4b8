# The image of every process of an Unmask service: coordinator, replica and command. docker build -t unmask .
#
#   docker run IMAGE unmask-coordinator --model DIR …      docker run IMAGE unmask replica --coordinator HOST:50052 …
#   docker run IMAGE unmask generate --server HOST:50051 "…"
#
# With --target cuda, the same with a worker for NVIDIA's GPUs, and the two of NVIDIA's libraries that it links.
#
# Runs as 65532 with a read-only root; /tmp and /dev/shm must be writable. scripts/image.sh builds both without a Docker
# engine, from programs built on a Debian 12 host (PROGRAMS=prebuilt).
ARG DEBIAN=debian:bookworm-slim
ARG PROGRAMS=built

FROM rust:1.95.0-bookworm AS built
WORKDIR /src
COPY . .
RUN scripts/setup.sh \
 && cmake --preset release -DUNMASK_TESTS=OFF && cmake --build build \
 && { [ -f models/demo/config.json ] || build/bin/unmask-make-checkpoint --preset demo --out build/random-model; } \
 && cmake --install build --prefix /image/usr --strip

FROM built AS built-cuda
RUN scripts/setup.sh cuda && scripts/cuda.sh \
 && cmake --install build --component cuda --prefix /image/usr --strip

FROM scratch AS prebuilt
COPY build/image/root /image

FROM scratch AS prebuilt-cuda
COPY build/image/root-cuda /image

FROM ${PROGRAMS} AS programs

FROM ${PROGRAMS}-cuda AS programs-cuda

FROM ${DEBIAN} AS runtime
# mpirun wants to know who it is: the user needs a name. tini is process 1: it reaps, and hands signals on.
RUN apt-get update -q \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
      libgrpc++1.51 libprotobuf32 libabsl20220623 libssl3 libdnnl2 libopenmpi3 openmpi-bin \
      libprometheus-cpp-core1.0 libcpp-httplib0.11 libsqlite3-0 ca-certificates tini \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* /usr/share/doc/* /usr/share/man/* \
 && groupadd --gid 65532 unmask \
 && useradd -K UID_MAX=65532 --uid 65532 --gid 65532 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin unmask
COPY scripts/sbom.sh /usr/share/unmask/sbom.sh
ENV HOME=/tmp
WORKDIR /tmp
EXPOSE 50051 50052 8080 9090
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["unmask", "--help"]
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="unmask" \
      org.opencontainers.image.description="Serves masked diffusion language models over gRPC" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="debian:bookworm-slim"

FROM runtime AS cuda
COPY --from=programs-cuda /image /
# Every program finds its libraries; what is inside is written down.
RUN ! ldd /usr/bin/unmask /usr/bin/unmask-coordinator /usr/bin/unmask-worker | grep 'not found' \
 && sh /usr/share/unmask/sbom.sh /usr/share/unmask/Cargo.lock /usr/lib/unmask/* > /usr/share/unmask/sbom.cdx.json \
 && rm /usr/share/unmask/sbom.sh
# What of the driver a container's runtime is to lend.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 65532:65532

FROM runtime AS cpu
COPY --from=programs /image /
RUN ! ldd /usr/bin/unmask /usr/bin/unmask-coordinator /usr/bin/unmask-worker | grep 'not found' \
 && sh /usr/share/unmask/sbom.sh /usr/share/unmask/Cargo.lock > /usr/share/unmask/sbom.cdx.json \
 && rm /usr/share/unmask/sbom.sh
USER 65532:65532
