# The operator's image: one static binary, on a base without a shell, run by an unprivileged user.
#
#   make docker-build IMG=registry.example.com/secret-server-operator:v0.1.0
#
# `make verify-image` runs the build stage without an engine, and compares what comes of it with `make build-all`.

# Without a shell, a package manager or anything else to run. To pin it: --build-arg BASE=...@sha256:...
ARG BASE=gcr.io/distroless/static:nonroot

# The compiler runs on the machine that builds; Go compiles for the machine that will run the image. Its version is that of
# go.mod: another one gives other bytes.
FROM --platform=$BUILDPLATFORM golang:1.26.8 AS build
WORKDIR /src

# A layer of their own: the modules are fetched again only when go.mod or go.sum changes.
COPY go.mod go.sum ./
RUN go mod download

COPY *.go operator.pgo ./
COPY api/ api/
COPY controllers/ controllers/

ARG TARGETOS
ARG TARGETARCH
ARG VERSION=unknown
ARG COMMIT=unknown
ARG DATE=unknown
RUN CGO_ENABLED=0 GOOS="$TARGETOS" GOARCH="$TARGETARCH" \
    go build -trimpath -buildvcs=false -pgo=operator.pgo \
    -ldflags="-s -w -X main.version=$VERSION -X main.commit=$COMMIT -X main.date=$DATE" -o /out/manager .

FROM $BASE
ARG VERSION=unknown
ARG COMMIT=unknown
ARG DATE=unknown
LABEL org.opencontainers.image.title="secret-server-operator" \
      org.opencontainers.image.description="Keeps API sessions with Delinea Secret Server alive for the pods of a Kubernetes cluster" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT" \
      org.opencontainers.image.created="$DATE"
COPY --from=build /out/manager /manager
# A number, not a name: the kubelet can check runAsNonRoot only against a number.
USER 65532:65532
ENTRYPOINT ["/manager"]
