package secretserver

import (
	"strings"
	"testing"
)

// longAnswer is a grant with tokens of Secret Server's length.
func longAnswer() []byte {
	token := strings.Repeat("Ag0123_-", 32)
	return []byte(`{"access_token":"` + token + `","token_type":"bearer","expires_in":1199,"refresh_token":"` + token + `"}`)
}

func BenchmarkDecodeGrant(b *testing.B) {
	body := longAnswer()
	b.ReportAllocs()
	for b.Loop() {
		if _, cause := decodeGrant(body); cause != 0 {
			b.Fatal(cause)
		}
	}
}

func TestDecodingAGrantAllocatesLittle(t *testing.T) {
	const most = 40
	body := longAnswer()
	got := testing.AllocsPerRun(100, func() {
		if _, cause := decodeGrant(body); cause != 0 {
			t.Fatal(cause)
		}
	})
	if got > most {
		t.Errorf("%.0f allocations, want %d at most; see BenchmarkDecodeGrant", got, most)
	}
}
