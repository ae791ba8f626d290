package sdkcheck_test

import (
	"os"
	"strconv"
	"testing"

	"tokensync.dev/secret-server-operator/hack/sdkcheck"
)

// TestSDKReadsASecretWithTheTokenOfASecret is fed from outside: with a token that
// the operator wrote into a Secret, byte for byte as a mounted file has it. It is
// skipped unless SDKCHECK_TOKEN_FILE is set. The other variables are then
// required:
//
//	SDKCHECK_TOKEN_FILE       file that holds the target's key "token" and nothing else
//	SDKCHECK_SERVER_URL_FILE  file that holds its key "serverURL"
//	SDKCHECK_CA_FILE          PEM file with the server's CA
//	SDKCHECK_SECRET_ID        number of a secret that the account may read
//	SDKCHECK_FIELD            slug of one of its fields
//	SDKCHECK_WANT             the value that the field must have
func TestSDKReadsASecretWithTheTokenOfASecret(t *testing.T) {
	if os.Getenv("SDKCHECK_TOKEN_FILE") == "" {
		t.Skip("SDKCHECK_TOKEN_FILE is not set: no operator has written a token for this test")
	}
	target := sdkcheck.Target{
		ServerURL: string(fileOf(t, "SDKCHECK_SERVER_URL_FILE")),
		CA:        fileOf(t, "SDKCHECK_CA_FILE"),
	}
	client, err := target.WithToken(string(fileOf(t, "SDKCHECK_TOKEN_FILE")))
	if err != nil {
		t.Fatal(err)
	}
	secretID, err := strconv.Atoi(variable(t, "SDKCHECK_SECRET_ID"))
	if err != nil {
		t.Fatalf("SDKCHECK_SECRET_ID: %v", err)
	}
	value, err := sdkcheck.ReadField(client, secretID, variable(t, "SDKCHECK_FIELD"))
	if err != nil {
		t.Fatal(err)
	}
	if value != variable(t, "SDKCHECK_WANT") {
		t.Error("the field has another value than SDKCHECK_WANT")
	}
}

func variable(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set", name)
	}
	return value
}

func fileOf(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(variable(t, name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return content
}
