package controllers

import (
	"context"
	"encoding/base32"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// rfcSeed is that of the test vectors in RFC 6238, appendix B.
var rfcSeed = base32.StdEncoding.EncodeToString([]byte("12345678901234567890"))

func TestSeedIsReadAsPeopleStoreIt(t *testing.T) {
	const want = "GEZDGNBVGY3TQOJQGEZDGNBV" // 15 bytes, and so padding where a multiple of 8 is wanted
	for name, text := range map[string]string{
		"as it is":                want,
		"in lower case":           strings.ToLower(want),
		"in groups":               "gezd gnbv gy3t qojq gezd gnbv",
		"in groups with dashes":   "GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV",
		"with a line break":       want + "\r\n",
		"with too much padding":   want + "======",
		"with padding and blanks": " GEZDGNBVGY3TQOJQ\tGEZDGNBV= = \n",
	} {
		t.Run(name, func(t *testing.T) {
			got, problem := readSeed([]byte(text))
			if got != want || problem != "" {
				t.Errorf("got %q and problem %q, want %q", got, problem, want)
			}
		})
	}
	for bytes := minSeed; bytes <= 64; bytes++ {
		key := []byte(strings.Repeat("k", bytes))
		for _, encoding := range []*base32.Encoding{base32.StdEncoding, base32.StdEncoding.WithPadding(base32.NoPadding)} {
			seed, problem := readSeed([]byte(encoding.EncodeToString(key)))
			if problem != "" || seed != base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(key) {
				t.Errorf("a seed of %d bytes: %s", bytes, problem)
			}
			if _, err := codeOf(seed, 1); err != nil {
				t.Errorf("a seed of %d bytes: %v", bytes, err)
			}
		}
	}
}

func TestBadSeedIsToldAndNotShown(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                 {"", "is empty"},
		"blanks":                  {" \n", "is empty"},
		"padding alone":           {"====", "is empty"},
		"a digit of no base32":    {"GEZDGNBVGY3TQOJ1", "is no OTP seed"},
		"a password":              {"correct horse battery", "is no OTP seed"},
		"hexadecimal":             {"3132333435363738393031323334353637383930", "is no OTP seed"},
		"umlauts":                 {"GEZDGNBVGY3TQOJÄ", "is no OTP seed"},
		"a letter of another I":   {"GEZDGNBVGY3TQOJı", "is no OTP seed"},
		"no text":                 {"\xff\xfe\x00", "is no OTP seed"},
		"padding in the middle":   {"GEZDGNBV==GY3TQOJQ", "is no OTP seed"},
		"a character lost":        {"GEZDGNBVGY3TQOJQG", "is no OTP seed"},
		"three characters over":   {"GEZDGNBVGY3TQOJQGEZ", "is no OTP seed"},
		"six characters over":     {"GEZDGNBVGY3TQOJQGEZDGN", "is no OTP seed"},
		"a code":                  {"234567", "is no OTP seed"},
		"half a seed":             {"GEZDGNBV", "is too short"},
		"a bit less than 80 bits": {"GEZDGNBVGY3TQOI", "is too short"},
		"a URI": {
			"otpauth://totp/Secret%20Server:billing?secret=GEZDGNBVGY3TQOJQ&issuer=Delinea", "is no",
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := c.want
			if strings.HasPrefix(c.text, "otpauth") {
				want = "holds an otpauth:// URI"
			}
			seed, problem := readSeed([]byte(c.text))
			if seed != "" || !strings.HasPrefix(problem, want) || !strings.HasSuffix(problem, ".") {
				t.Errorf("got seed %q and problem %q, want %q", seed, problem, want)
			}
			if strings.Contains(problem, "GEZD") || strings.Contains(problem, "horse") {
				t.Errorf("the problem shows the seed: %q", problem)
			}
		})
	}
}

// The test vectors of RFC 6238, appendix B, of which six digits are the last six of eight.
func TestCodeIsThatOfRFC6238(t *testing.T) {
	seed, problem := readSeed([]byte(rfcSeed))
	if problem != "" {
		t.Fatal(problem)
	}
	for second, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		got, err := codeOf(seed, session.CodeStep(time.Unix(second, 0)))
		if err != nil || got != want {
			t.Errorf("at %d: got %q, %v, want %q", second, got, err, want)
		}
	}
	if code, err := codeOf(seed, -1); err == nil {
		t.Errorf("there is a code %q of a time before 1970", code)
	}
}

// aheadBy is a Secret Server of which nothing but the clock is asked.
type aheadBy struct {
	SecretServer
	ahead time.Duration
	err   error
}

func (a aheadBy) Ahead(context.Context) (time.Duration, error) { return a.ahead, a.err }

// watched is a cache that holds some state Secrets, all of the account asked for.
type watched []session.Record

func (watched) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	panic("nothing is read but the list")
}

func (w watched) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	for _, record := range w {
		text, err := record.Encode()
		if err != nil {
			return err
		}
		owner := &api.SecretServerSession{ObjectMeta: metav1.ObjectMeta{Name: "other", UID: "uid"}}
		meta := metav1.PartialObjectMetadata{ObjectMeta: newStateSecret(owner).ObjectMeta}
		meta.Annotations = map[string]string{annotationRecord: text}
		into := list.(*metav1.PartialObjectMetadataList) //nolint:forcetypeassert // recordsOf lists nothing else
		into.Items = append(into.Items, meta)
	}
	return nil
}

// otpPass is a pass that is about to log in with a one-time code.
func otpPass(known *codes, at time.Time, records ...session.Record) *pass {
	return &pass{
		Reconciler: &Reconciler{clock: clocktesting.NewFakeClock(at), codes: known, verified: newVerifications(), cache: watched(records)},
		session: &api.SecretServerSession{Spec: api.SecretServerSessionSpec{
			Endpoint:    api.Endpoint{URL: vaultURL},
			Credentials: api.Credentials{SecretRef: api.SecretReference{Name: "account"}, OTPSeedKey: "otp"},
		}},
		login: &login{account: billing, credentials: secretserver.Credentials{Username: "billing", Password: "p", OTPSeed: rfcSeed}},
	}
}

func TestACodeIsMadeOnceForAllSessionsOfAnAccount(t *testing.T) {
	step := session.CodeStep(noon)
	ofThe := func(r session.Record) session.Record { r.Account = billing; return r }
	for name, c := range map[string]struct {
		known   *codes
		records []session.Record
		ahead   time.Duration
		at      time.Time
		wait    time.Duration
	}{
		"the first one": {at: noon},
		"after one that this process has sent": {
			known: &codes{used: map[string]usedCode{billing: {step: step}}}, at: noon.Add(10 * time.Second), wait: 20 * time.Second,
		},
		"after one that was sent half a minute ago": {
			known: &codes{used: map[string]usedCode{billing: {step: step - 1}}}, at: noon,
		},
		"after one of another account": {known: &codes{used: map[string]usedCode{"other": {step: step}}}, at: noon},
		"after one that another process has sent, which then succeeded": {
			records: []session.Record{ofThe(session.Record{CodeStep: step - 7}), ofThe(session.Record{CodeStep: step})},
			at:      noon.Add(time.Second), wait: 29 * time.Second,
		},
		"after one that another process has set out to send": {
			records: []session.Record{{CodeStep: step, Attempt: &session.Attempt{Account: billing}}}, at: noon, wait: 30 * time.Second,
		},
		"by the server's clock": {
			known: &codes{used: map[string]usedCode{billing: {step: step + 8}}}, ahead: 4 * time.Minute, at: noon, wait: 30 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if c.known == nil {
				c.known = newCodes()
			}
			p := otpPass(c.known, c.at, c.records...)
			ready, err := p.prepareCode(t.Context(), aheadBy{ahead: c.ahead})
			if err != nil {
				t.Fatal(err)
			}
			if ready != (c.wait == 0) {
				t.Fatalf("ready is %t", ready)
			}
			if !ready {
				if got := p.observation().CodeAt.Sub(c.at); got != c.wait {
					t.Errorf("waits for %s, want %s", got, c.wait)
				}
				if got := c.known.nextAt(billing, c.at).Sub(c.at); got != c.wait {
					t.Errorf("other sessions of the account wait for %s, want %s", got, c.wait)
				}
				if p.login.credentials.OTP != "" {
					t.Error("there is a code all the same")
				}
				return
			}
			want, err := codeOf(rfcSeed, session.CodeStep(c.at.Add(c.ahead)))
			if err != nil || p.login.credentials.OTP != want {
				t.Errorf("the code is %q, want %q (%v)", p.login.credentials.OTP, want, err)
			}
			if !p.useCode() {
				t.Error("the code is no longer the present one")
			}
			if ready, err := otpPass(c.known, c.at).prepareCode(t.Context(), aheadBy{ahead: c.ahead}); ready || err != nil {
				t.Errorf("the code is made again: %v", err)
			}
		})
	}
}

func TestACodeThatIsNoLongerThePresentOneIsNotSent(t *testing.T) {
	known := newCodes()
	p := otpPass(known, noon)
	if ready, err := p.prepareCode(t.Context(), aheadBy{}); !ready || err != nil {
		t.Fatalf("not ready: %v", err)
	}
	p.clock = clocktesting.NewFakeClock(noon.Add(30 * time.Second)) // so long it took to write the record
	if p.useCode() {
		t.Error("a code of half a minute ago would be sent")
	}
	if ready, err := p.prepareCode(t.Context(), aheadBy{}); !ready || err != nil {
		t.Errorf("and there is no other: %v", err)
	}
}

func TestNoCodeIsMadeForAClockThatIsFarOff(t *testing.T) {
	for _, ahead := range []time.Duration{-20 * time.Minute, 20 * time.Minute, 1<<63 - 1, -1 << 63} {
		p := otpPass(newCodes(), noon)
		ready, err := p.prepareCode(t.Context(), aheadBy{ahead: ahead})
		if ready || err != nil || p.login.credentials.OTP != "" {
			t.Errorf("%s off: ready is %t, %v", ahead, ready, err)
		}
		if p.failure.reason != api.ReasonProtocolError || !strings.Contains(p.failure.message, "more than 10 minutes apart") {
			t.Errorf("%s off: told is %s: %s", ahead, p.failure.reason, p.failure.message)
		}
		if !p.failure.retryAt.After(noon) {
			t.Errorf("%s off: retried at %s", ahead, p.failure.retryAt)
		}
	}
}

func TestNoCodeIsMadeForAServerThatDoesNotAnswer(t *testing.T) {
	p := otpPass(newCodes(), noon)
	ready, err := p.prepareCode(t.Context(), aheadBy{err: &secretserver.Error{
		Operation: secretserver.ReadClock, Kind: secretserver.NotSent, Cause: secretserver.ConnectionRefused,
	}})
	if ready || err != nil || p.login.credentials.OTP != "" {
		t.Errorf("ready is %t, %v", ready, err)
	}
	if p.failure.reason != api.ReasonEndpointUnavailable || !strings.Contains(p.failure.message, "connection refused") {
		t.Errorf("told is %s: %s", p.failure.reason, p.failure.message)
	}
}

// The session need not wait for a retry that was planned before, but must not ask again and again within one pass.
func TestWhoAsksForARenewalWaitsForTheRetryOfItsOwnAttempt(t *testing.T) {
	p := otpPass(newCodes(), noon)
	p.session.Annotations = map[string]string{api.AnnotationRefreshRequested: "now"}
	if ready, err := p.prepareCode(t.Context(), aheadBy{ahead: 20 * time.Minute}); ready || err != nil {
		t.Fatalf("ready is %t, %v", ready, err)
	}
	if plan := session.Decide(p.observation(), noon); plan.Obstacle != session.BackingOff {
		t.Errorf("the next step is %s, %q", plan.Action, plan.Obstacle)
	}
}

// Sessions that log in with codes ask for the time first, so that is what they find out with that a server is down.
func TestASecretServerThatDoesNotTellTheTimeIsDown(t *testing.T) {
	w := newWard()
	p := otpPass(newCodes(), noon)
	p.outages, p.vantage = w.outages, atVault
	server := p.heed(aheadBy{err: broken})
	for range outageAfter {
		if ready, err := p.prepareCode(t.Context(), server); ready || err != nil {
			t.Fatalf("ready is %t, %v", ready, err)
		}
	}
	w.waits(t, "b30")
}

// A clock that was set back must not keep an account waiting until it has come forward again.
func TestAClockThatWasSetBackDoesNotHoldAnAccount(t *testing.T) {
	known := newCodes()
	known.use(billing, usedCode{step: session.CodeStep(noon)}, noon)
	later := noon.Add(-8 * time.Minute) // half a minute after noon, as Secret Server has it
	if at := known.nextAt(billing, later); !at.IsZero() {
		t.Errorf("waits for %s", at.Sub(later))
	}
	p := otpPass(known, later)
	if ready, err := p.prepareCode(t.Context(), aheadBy{ahead: 8*time.Minute + 30*time.Second}); !ready || err != nil {
		t.Errorf("not ready at %s: %v", p.login.codeAt, err)
	}
}

func TestCodesOfLongAgoAreForgotten(t *testing.T) {
	known := newCodes()
	for i := range 3 * sweepAbove {
		known.use(string(rune(i)), usedCode{step: session.CodeStep(noon)}, noon)
	}
	known.use(billing, usedCode{step: session.CodeStep(noon) + 1}, noon.Add(time.Minute))
	if len(known.used) != 1 {
		t.Errorf("%d are remembered", len(known.used))
	}
}

func TestSeedIsReadFromItsKey(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "account"}, Data: map[string][]byte{
		"otp": []byte("gezd gnbv gy3t qojq"), "empty": nil, "bad": []byte("1"),
	}}
	for key, want := range map[string]string{
		"otp": "", "": "", "empty": `Key "empty" of Secret "account" is empty`, "absent": `Key "absent" of Secret "account" is missing`,
		"bad": `Key "bad" of Secret "account" is no OTP seed`,
	} {
		seed, f := seedOf(secret, key)
		switch {
		case want == "" && f != nil:
			t.Errorf("key %q: %s", key, f.message)
		case want != "" && (f == nil || f.reason != api.ReasonCredentialsInvalid || !strings.HasPrefix(f.message, want)):
			t.Errorf("key %q: got %+v, want %s", key, f, want)
		case (seed != "") != (key == "otp"):
			t.Errorf("key %q: the seed has %d characters", key, len(seed))
		}
	}
}
