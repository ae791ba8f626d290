# The operator's image: one static binary, on a base without a shell, run by an unprivileged user.
#
#   docker build --build-arg VERSION=v0.1.0 -t registry.example.com/secret-server-operator:v0.1.0 .

# The compiler runs on the machine that builds; Go compiles for the machine that will run the image.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src

# A layer of their own: the modules are fetched again only when go.mod or go.sum changes.
COPY go.mod go.sum ./
RUN go mod download

COPY main.go ./
COPY api/ api/
COPY controllers/ controllers/

ARG TARGETOS
ARG TARGETARCH
ARG VERSION=unknown
RUN CGO_ENABLED=0 GOOS="$TARGETOS" GOARCH="$TARGETARCH" \
    go build -trimpath -ldflags="-s -w -X main.version=$VERSION" -o /out/manager .

FROM gcr.io/distroless/static:nonroot
COPY --from=build /out/manager /manager
# A number, not a name: the kubelet can check runAsNonRoot only against a number.
USER 65532:65532
ENTRYPOINT ["/manager"]
