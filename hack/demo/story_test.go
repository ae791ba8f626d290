package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// begin is when the stories of these tests begin.
var begin = time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)

func after(seconds float64) moment {
	return moment(begin.Add(time.Duration(seconds * float64(time.Second))))
}

func byPassword() grant { return grant{by: secretservertest.Password} }
func byRefresh() grant  { return grant{by: secretservertest.Refresh} }

// overLimit is the login that follows a refresh over the limit.
func overLimit() grant {
	return grant{by: secretservertest.Password, refused: secretservertest.LimitReached}
}

func target(seconds float64, uid types.UID, t token, g grant) targetSeen {
	at := after(seconds)
	return targetSeen{
		moment: at, session: "billing", secret: "billing-token", uid: uid, token: t, grant: g,
		expires: at.when().Add(29 * time.Second),
	}
}

func accepted(seconds float64, t token) tokenTried {
	return tokenTried{moment: after(seconds), session: "billing", token: t, answer: "200 OK", ok: true}
}

func status(seconds float64, ready, reason string) sessionSeen {
	at := after(seconds)
	return sessionSeen{moment: at, session: "billing", ready: ready, reason: reason, renewal: at.when().Add(18 * time.Second)}
}

func gone(seconds float64) targetGone {
	return targetGone{moment: after(seconds), session: "billing", secret: "billing-token"}
}

// a, b, c, d and e are the fingerprints of the tokens of those names.
var a, b, c, d, e = newToken("a").fingerprint, newToken("b").fingerprint, newToken("c").fingerprint, newToken("d").fingerprint, newToken("e").fingerprint

func TestStoryTellsEachEventInOneLine(t *testing.T) {
	tests := map[string]struct {
		observed []observation
		want     []string
	}{
		"a first login": {
			[]observation{target(1, "1", newToken("a"), byPassword()), status(1.1, "True", "TokenCurrent"), accepted(1.2, newToken("a"))},
			[]string{
				"login: 1st with the password: token " + a + ", good for 29 s",
				"ready: Ready is True (TokenCurrent), next renewal in 18 s",
				"valid: Secret Server accepts " + a + ": 200 OK",
			},
		},
		"refreshes up to the limit, and the login after it": {
			[]observation{
				target(1, "1", newToken("a"), byPassword()), target(18, "1", newToken("b"), byRefresh()), target(36, "1", newToken("c"), byRefresh()),
				target(54, "1", newToken("d"), byRefresh()), target(72, "1", newToken("e"), overLimit()), target(90, "1", newToken("a"), byRefresh()),
			},
			[]string{
				"login: 1st with the password: token " + a + ", good for 29 s",
				"refresh: 1 of 3: token " + a + " -> " + b + ", good for 29 s",
				"refresh: 2 of 3: token " + b + " -> " + c + ", good for 29 s",
				"refresh: 3 of 3: token " + c + " -> " + d + ", good for 29 s",
				"fall-back: limit of 3 refreshes reached, 2nd login: token " + d + " -> " + e + ", good for 29 s",
				"refresh: 1 of 3: token " + e + " -> " + a + ", good for 29 s",
			},
		},
		"a login for another reason than the limit": {
			[]observation{target(1, "1", newToken("a"), byPassword()), target(5, "1", newToken("b"), byPassword())},
			[]string{
				"login: 1st with the password: token " + a + ", good for 29 s",
				"login: 2nd with the password: token " + a + " -> " + b + ", good for 29 s",
			},
		},
		"a deletion by the demo": {
			[]observation{
				target(1, "1", newToken("a"), byPassword()),
				targetDeletion{after(2), "billing", "billing-token"}, gone(2.01), target(2.05, "2", newToken("a"), byPassword()),
			},
			[]string{
				"login: 1st with the password: token " + a + ", good for 29 s",
				"delete: the demo deletes Secret billing-token",
				"repaired: Secret billing-token is back after 0.05 s, with the same token " + a,
			},
		},
		"a deletion by somebody else": {
			[]observation{target(1, "1", newToken("a"), byPassword()), gone(2), target(2.5, "2", newToken("b"), byRefresh())},
			[]string{
				"login: 1st with the password: token " + a + ", good for 29 s",
				"deleted: somebody deleted Secret billing-token",
				"repaired: Secret billing-token is back after 0.50 s, with a new token",
				"refresh: 1 of 3: token " + a + " -> " + b + ", good for 29 s",
			},
		},
		"an edit by somebody": {
			[]observation{target(1, "1", newToken("a"), byPassword()), target(2, "1", newToken("x"), grant{}), target(2.1, "1", newToken("a"), byPassword())},
			[]string{
				"login: 1st with the password: token " + a + ", good for 29 s",
				"altered: somebody put another token into Secret billing-token",
				"repaired: Secret billing-token is back after 0.10 s, with the same token " + a,
			},
		},
		"a token that the server refuses": {
			[]observation{tokenTried{moment: after(1), session: "billing", token: newToken("a"), answer: "403 Forbidden"}},
			[]string{"refused: Secret Server does not accept " + a + ": 403 Forbidden"},
		},
		"a session that is not ready": {
			[]observation{status(1, "", ""), status(2, "False", "CredentialsRejected"), status(3, "False", "CredentialsRejected")},
			[]string{"not ready: Ready is False (CredentialsRejected)"},
		},
		"a session deleted with its target": {
			[]observation{target(1, "1", newToken("a"), byPassword()), sessionGone{after(2), "billing"}, gone(2.1)},
			[]string{
				"login: 1st with the password: token " + a + ", good for 29 s",
				"deleted: somebody deleted the session; its Secrets go with it",
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStory(newPromises(begin))
			var got []string
			for _, o := range test.observed {
				for _, l := range s.tell(o) {
					got = append(got, l.event+": "+l.detail)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("told:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(test.want, "\n  "))
			}
		})
	}
}

// A change to the old Secret that is seen after its deletion was asked for does not mean that it is back.
func TestStoryDoesNotTakeTheDeletedTargetForItsSuccessor(t *testing.T) {
	p := newPromises(begin)
	s := newStory(p)
	for _, o := range []observation{
		target(1, "1", newToken("a"), byPassword()),
		targetDeletion{after(2), "billing", "billing-token"},
		target(2.01, "1", newToken("a"), byPassword()),
		gone(2.02),
	} {
		s.tell(o)
	}
	if p.holds(repair) {
		t.Error("the target counts as repaired, though it is gone")
	}
	s.tell(target(2.03, "2", newToken("a"), byPassword()))
	if !p.holds(repair) {
		t.Error("the target does not count as repaired, though it is back")
	}
}

func TestStoryTriesEachTokenAndDeletesOneTargetAfterARefresh(t *testing.T) {
	s := newStory(newPromises(begin))
	var got []string
	for _, o := range []observation{
		target(1, "1", newToken("a"), byPassword()), accepted(1.1, newToken("a")),
		target(1.2, "1", newToken("a"), byPassword()), // nothing new
		target(18, "1", newToken("b"), byRefresh()), accepted(18.1, newToken("b")),
		target(36, "1", newToken("c"), byRefresh()), accepted(36.1, newToken("c")),
		target(54, "1", newToken("d"), overLimit()), accepted(54.1, newToken("d")),
		target(72, "1", newToken("e"), byRefresh()), accepted(72.1, newToken("e")),
	} {
		s.tell(o)
		for a, ok := s.next(); ok; a, ok = s.next() {
			got = append(got, fmt.Sprintf("%s %s %v", a.deed, a.secret, a.token))
		}
	}
	want := []string{
		"try billing-token " + a,
		"try billing-token " + b,
		"delete billing-token ",
		"try billing-token " + c,
		"try billing-token " + d,
		"try billing-token " + e,
	}
	if !slices.Equal(got, want) {
		t.Errorf("did:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestTokenShowsAsFingerprintOnly(t *testing.T) {
	secret := newToken("MARKER-token")
	seen := target(1, "1", secret, byPassword())
	for _, format := range []string{"%s", "%v", "%+v", "%#v", "%q", "%x"} {
		for _, value := range []any{secret, &secret, seen, &seen, act{token: secret}} {
			text := fmt.Sprintf(format, value)
			if strings.Contains(text, "MARKER") || strings.Contains(text, fmt.Sprintf("%x", "MARKER")) {
				t.Errorf("%s of a %T shows the token", format, value)
			}
		}
	}
}

func TestOrdinal(t *testing.T) {
	for n, want := range map[int]string{1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 13: "13th", 21: "21st", 112: "112th"} {
		if got := ordinal(n); got != want {
			t.Errorf("ordinal(%d) = %s, want %s", n, got, want)
		}
	}
}
