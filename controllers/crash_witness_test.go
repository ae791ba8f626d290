package controllers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// witness has seen all that was written, and judges each write of the operator. What must hold after every effect:
//
//   - a refresh token that rests unclaimed in a state Secret was never sent, and none is sent twice;
//   - an account never has five bad logins within an hour, as far as the operator can know of them (see forgive);
//   - what is published was stored before, whole: token, expiry and URL of one grant;
//   - what is stored is never replaced by something older;
//   - Secrets of others are never written;
//   - a suspended session calls no Secret Server;
//   - no refresh token and no password gets into the target, the status, an event, an error or the log.
type witness struct {
	scanned  int
	before   map[types.NamespacedName]*api.SecretServerSession
	previous map[types.NamespacedName]*heldSecret
	stored   map[string]stored // what was ever stored, by access token

	// Bad logins before forgiven do not count, as the operator cannot know of them: the state Secret was taken from it
	// and the process that remembered is gone too, or its clock was set forward by more than its margin.
	forgiven  time.Time
	stateLost time.Time
	leaps     []leap

	codes     map[int64]bool  // time steps whose one-time code was sent
	knownDead map[string]bool // access tokens of which the operator stored that they were ended

	complaint string
}

func newWitness() witness {
	return witness{before: map[types.NamespacedName]*api.SecretServerSession{}, previous: map[types.NamespacedName]*heldSecret{}, stored: map[string]stored{}, knownDead: map[string]bool{}, codes: map[int64]bool{}}
}

// leap is a clock that was set forward.
type leap struct {
	at time.Time
	by time.Duration
}

// clockMargin is by how much a clock may be set forward within the hour before the operator takes bad logins for older
// than an hour: its window is longer by five minutes, of which clocks that differ need some.
const clockMargin = lockoutWindow - lockoutTime - time.Minute

// leapt notes that the clock was set forward.
func (tr *trial) leapt(by time.Duration) {
	tr.leaps = append(tr.leaps, leap{tr.truth, by})
	sum := time.Duration(0)
	for _, l := range tr.leaps {
		if tr.truth.Sub(l.at) < lockoutWindow {
			sum += l.by
		}
	}
	if sum > clockMargin {
		tr.forgive(tr.truth)
	}
}

func (tr *trial) forgive(until time.Time) {
	if until.After(tr.forgiven) {
		tr.forgiven = until
	}
}

// acknowledge takes what others than the operator wrote as it is.
func (tr *trial) acknowledge() {
	for _, seen := range tr.unseen() {
		tr.remember(seen)
	}
}

func (tr *trial) unseen() []change {
	changes := tr.kubernetes.history[tr.scanned:]
	tr.scanned = len(tr.kubernetes.history)
	return changes
}

func (tr *trial) remember(seen change) {
	if seen.kind != secretObject {
		tr.before[seen.name] = seen.session
		return
	}
	tr.previous[seen.name] = seen.secret
	if seen.secret != nil && seen.secret.Type == api.StateSecretType {
		if content, err := readState(seen.secret.Secret); err == nil {
			tr.stored[content.AccessToken] = content
		}
	}
}

// examine judges what the operator wrote in its last step, and what it holds.
func (tr *trial) examine(f *flight) {
	for _, seen := range tr.unseen() {
		switch {
		case seen.kind == sessionObject && seen.session != nil:
			tr.examineStatus(seen.session)
			if before := tr.before[seen.name]; before == nil || !sameStatus(before.Status, seen.session.Status) {
				tr.mustNotPraise(seen.session)
			}
		case seen.kind == sessionObject && tr.before[seen.name] != nil:
			tr.examineGone(f, tr.before[seen.name])
		case seen.kind == secretObject:
			tr.examineSecret(f, seen)
		}
		tr.remember(seen)
	}
	for name, held := range tr.kubernetes.secrets {
		token := string(held.Data[keyRefreshToken])
		for _, v := range tr.vaults {
			if held.Type == api.StateSecretType && v.sent[token] > 0 {
				tr.complain("%s holds %s unclaimed, which was sent", name.Name, token)
			}
		}
	}
	if tr.complaint != "" {
		tr.t.Fatal(tr.complaint)
	}
}

// complain notes the first thing that is wrong. The trial ends once the pass has come to its next effect.
func (tr *trial) complain(format string, args ...any) {
	if tr.complaint == "" {
		tr.complaint = tr.at() + " " + fmt.Sprintf(format, args...)
	}
}

// refreshSent counts a refresh token that may have got to a Secret Server.
func (tr *trial) refreshSent(v *vault, token string) {
	v.sent[token]++
	if v.sent[token] > 1 {
		tr.complain("%s was sent %d times", token, v.sent[token])
	}
}

// loginMade looks at an account after a login.
func (tr *trial) loginMade(v *vault) {
	bad := v.badLoginsSince(later(tr.forgiven, tr.truth.Add(-lockoutTime)))
	tr.figures.most("bad logins within an hour", bad)
	tr.t.Logf("%s bad logins at %s now: %d", tr.at(), v.url, bad)
	if bad >= lockoutThreshold {
		tr.complain("%s: %d bad logins within an hour lock the account", v.url, bad)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (tr *trial) examineSecret(f *flight, seen change) {
	if old := tr.previous[seen.name]; old != nil {
		owner := metav1.GetControllerOf(old.Secret)
		if owner == nil || owner.Kind != api.Kind {
			tr.complain("Secret %s, which belongs to somebody else, was written", seen.name.Name)
		}
	}
	switch {
	case seen.secret == nil:
	case seen.secret.Type == api.StateSecretType:
		tr.examineState(f, seen)
	default:
		tr.examineTarget(seen.secret)
	}
}

// examineState sees to it that what is stored only ever goes forward.
func (tr *trial) examineState(f *flight, seen change) {
	old := tr.previous[seen.name]
	var before stored
	if old != nil && old.UID == seen.secret.UID {
		var err error
		if before, err = readState(old.Secret); err != nil {
			return // somebody spoiled it
		}
	}
	after, err := readState(seen.secret.Secret)
	if err != nil {
		tr.complain("the operator stored what it cannot read: %v", err)
	}
	if old == nil || old.UID != seen.secret.UID {
		return
	}
	if after.Sequence() < before.Sequence() || after.Sequence() == before.Sequence() && after.AccessToken != before.AccessToken {
		tr.complain("%s: grant %d (%s) was replaced by grant %d (%s)", seen.name.Name,
			before.Sequence(), before.AccessToken, after.Sequence(), after.AccessToken)
	}
	tr.examineFormer(f, before, after)
}

func (tr *trial) examineTarget(target *heldSecret) {
	tr.mustNotTell("a target", target.ObjectMeta.String(), passwordMark, refreshMark, accessMark)
	for key, value := range target.Data {
		tr.mustNotTell("a target", key+string(value), passwordMark, refreshMark)
	}
	token := string(target.Data[api.TargetKeyToken])
	if old := tr.previous[nameOf(target)]; old != nil && string(old.Data[api.TargetKeyToken]) == token {
		return // whatever else somebody did to it
	}
	source, known := tr.stored[token]
	if !known {
		tr.complain("%s was published and never stored", token)
	}
	for key, want := range defaultData(source) {
		if !bytes.Equal(target.Data[key], want) {
			tr.complain("target %s: %s is %q beside %s, want %q", target.Name, key, target.Data[key], token, want)
		}
	}
}

func (tr *trial) examineStatus(s *api.SecretServerSession) {
	text, err := json.Marshal(s.Status)
	if err != nil {
		tr.complain("encode a status: %v", err)
	}
	tr.mustNotTell("a status", string(text), passwordMark, refreshMark, accessMark)
}

// passEnded judges how a pass ended.
func (tr *trial) passEnded(f *flight) {
	if f.err == nil {
		return
	}
	tr.mustNotTell("an error", f.err.Error(), passwordMark, refreshMark, accessMark)
	if errors.Is(f.err, errUnsettled) {
		tr.complain("%s: %v", f.session.Name, f.err)
	}
}

func (tr *trial) mustNotTell(where, text string, secrets ...string) {
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			tr.complain("%s tells %s...: %s", where, secret, text)
		}
	}
}

// logWatch is what the operator logs to.
type logWatch struct{ trial *trial }

func (w logWatch) Write(line []byte) (int, error) {
	w.trial.mustNotTell("the log", string(line), passwordMark, refreshMark, accessMark)
	return len(line), nil
}

func stateOf(name types.NamespacedName) string { return api.StateSecretName(name.Name) }
