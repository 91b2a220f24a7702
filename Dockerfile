# syntax=docker/dockerfile:1

# Node.js fetches the parts of the pages (Tabler, uPlot) while the binary is built.
FROM node:20-bookworm-slim AS node

FROM rust:1.95-bookworm AS build
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
    && node --version && npm --version && perl --version >/dev/null && make --version >/dev/null
WORKDIR /build
COPY . .
# The target folder is a cache and not part of the layer, so the binary is copied out in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/root/.npm \
    --mount=type=cache,target=/build/target \
    cargo build --locked --release \
    && install -D -m 0755 target/release/flownexus /image/usr/local/bin/flownexus \
    && install -d -m 0700 /image/data

# The C library and certificates, no shell and no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="flownexus" \
      org.opencontainers.image.description="Self-hosted LwM2M device management in one binary" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image/usr/local/bin/flownexus /usr/local/bin/flownexus
COPY --from=build --chown=65532:65532 /image/data /data
# Everything that is written goes to /data: run it with --read-only.
ENV FLOWNEXUS__DATA_DIR=/data \
    FLOWNEXUS__WEB__LISTEN=0.0.0.0:8000 \
    FLOWNEXUS__LOG__FORMAT=json
USER 65532:65532
WORKDIR /data
VOLUME ["/data"]
# CoAP, CoAP over DTLS, dashboard and API, firmware images over HTTPS
EXPOSE 5683/udp 5684/udp 8000/tcp 8443/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=6s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/flownexus", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/flownexus"]
CMD ["serve"]
