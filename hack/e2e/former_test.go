package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// What a release has left behind stands in a file of testdata, as it wrote it, but for the tokens, which are made up, and for what
// is another thing each time.
const (
	formerFile      = "testdata/state-format-1.yaml"
	formerNamespace = "e2e-upgrade" // in the URL, and with it in the stored digests
	formerAccess    = "made-up-access-token-of-a-former-release"
	formerRefresh   = "made-up-refresh-token-of-a-former-release"
	formerLifetime  = 20 * time.Minute
	refreshGrace    = 15 * time.Minute

	uidMark            = "SESSION_UID"
	issuedMark         = "ISSUED_AT"
	expiresMark        = "TOKEN_EXPIRES_AT"
	refreshExpiresMark = "REFRESH_EXPIRES_AT"
)

// marks are what stands for what in the file.
func marks(s *api.SecretServerSession, issued time.Time) map[string]string {
	return map[string]string{
		uidMark:            string(s.UID),
		issuedMark:         issued.Format(time.RFC3339Nano),
		expiresMark:        issued.Add(formerLifetime).Format(time.RFC3339Nano),
		refreshExpiresMark: issued.Add(formerLifetime + refreshGrace).Format(time.RFC3339Nano),
	}
}

// leaveBehind makes the Secrets of a session that a former release got a token for at a moment.
func leaveBehind(ctx context.Context, s *api.SecretServerSession, issued time.Time) {
	GinkgoHelper()
	content, err := os.ReadFile(formerFile)
	Expect(err).NotTo(HaveOccurred())
	text := string(content)
	for mark, value := range marks(s, issued) {
		text = strings.ReplaceAll(text, mark, value)
	}
	for document := range strings.SplitSeq(text, "\n---\n") {
		secret := &corev1.Secret{}
		Expect(yaml.UnmarshalStrict([]byte(document), secret)).To(Succeed())
		if secret.Data == nil {
			secret.Data = map[string][]byte{}
		}
		for key, value := range secret.StringData {
			secret.Data[key] = []byte(value)
		}
		secret.StringData = nil
		Expect(admin.Patch(ctx, secret, client.Apply, client.FieldOwner(api.ManagedBy))).To(Succeed()) //nolint:staticcheck // a whole object, as it was stored
	}
}

// record is leaveBehind the other way round: it writes the file.
func record(s *api.SecretServerSession, secrets ...*corev1.Secret) {
	GinkgoHelper()
	var documents []string
	for _, secret := range secrets {
		kept := &corev1.Secret{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
			ObjectMeta: metav1.ObjectMeta{
				Namespace: secret.Namespace, Name: secret.Name,
				Labels: secret.Labels, Annotations: secret.Annotations, OwnerReferences: secret.OwnerReferences,
			},
			Type: secret.Type, Data: map[string][]byte{}, StringData: map[string]string{},
		}
		for key, value := range secret.Data {
			if strings.HasSuffix(key, "Fingerprint") {
				kept.Data[key] = value // bytes
			} else {
				kept.StringData[key] = string(value)
			}
		}
		text, err := yaml.Marshal(kept)
		Expect(err).NotTo(HaveOccurred())
		documents = append(documents, string(text))
	}
	text := strings.Join(documents, "---\n")
	state := secrets[0]
	access, refresh := string(state.Data["accessToken"]), string(state.Data["refreshToken"])
	text = strings.NewReplacer(access, formerAccess, digest(access), digest(formerAccess), refresh, formerRefresh).Replace(text)
	// The record has the fractions of the second, the target has not.
	var times struct {
		IssuedAt time.Time `json:"issuedAt"`
	}
	Expect(json.Unmarshal([]byte(state.Annotations[api.Group+"/record"]), &times)).To(Succeed())
	for _, issued := range []time.Time{times.IssuedAt, times.IssuedAt.Truncate(time.Second)} {
		for mark, value := range marks(s, issued) {
			text = strings.ReplaceAll(text, value, mark)
		}
	}
	Expect(os.WriteFile(os.Getenv("E2E_RECORD"), []byte(text), 0o600)).To(Succeed())
}

// digest is how the record names a token.
func digest(token string) string {
	sum := sha256.Sum256(append([]byte(token), 0))
	return hex.EncodeToString(sum[:8])
}
