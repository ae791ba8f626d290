module tokensync.dev/secret-server-operator/hack/sdkcheck

go 1.26.8

require (
	github.com/DelineaXPM/tss-sdk-go/v3 v3.1.0
	tokensync.dev/secret-server-operator v0.0.0
)

require github.com/DelineaXPM/delinea-common v1.0.0 // indirect

replace tokensync.dev/secret-server-operator => ../..
