package controllers

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// action is one thing that may happen. It skips the test case's step (rapid.T.Skip) where it cannot.
type action struct {
	name   string
	weight int // how often it stands among those to choose from
	do     func(*trial)
}

// draw draws one of several values; the first is the simplest.
func draw[V any](tr *trial, label string, values ...V) V {
	return rapid.SampledFrom(values).Draw(tr.t, label)
}

// aProcess draws one of the operator's processes. Without one, a new one starts.
func (tr *trial) aProcess() *process {
	if len(tr.processes) == 0 {
		return tr.start(0)
	}
	return draw(tr, "process", tr.processes...)
}

// aSession draws a session.
func (tr *trial) aSession() types.NamespacedName {
	names := tr.sessionNames()
	if len(names) == 0 {
		tr.t.Skip("no session")
	}
	return draw(tr, "session", names...)
}

// operatorActions are what the operator and its machines do, and time.
var operatorActions = []action{
	{"a pass", 12, func(tr *trial) {
		p, name := tr.aProcess(), tr.aSession()
		if !p.mayBegin(name) {
			tr.t.Skip("there is one already, or there was the last")
		}
		if !draw(tr, "on old news", false, false, false, true) {
			p.catchUp()
		}
		tr.pass(p.begin(name))
	}},
	{"time until a session is due", 8, func(tr *trial) {
		var next time.Duration
		for _, p := range tr.processes {
			for _, at := range p.queue {
				if d := at.Sub(tr.truth); d > 0 && (next == 0 || d < next) {
					next = d
				}
			}
		}
		if next == 0 || tr.atVault() {
			tr.t.Skip("none is")
		}
		tr.elapse(next)
	}},
	{"passes side by side", 4, func(tr *trial) {
		for _, p := range tr.processes {
			for _, name := range tr.sessionNames() {
				if p.mayBegin(name) && draw(tr, "begin", true, false) {
					p.begin(name)
				}
			}
		}
		for range draw(tr, "steps", 1, 2, 3, 5, 8, 13) {
			var inTheAir []*flight
			for _, p := range tr.processes {
				inTheAir = append(inTheAir, p.flights...)
			}
			if len(inTheAir) == 0 {
				return
			}
			tr.step(draw(tr, "flight", inTheAir...))
		}
	}},
	{"what was under way ends", 4, func(tr *trial) {
		for _, p := range tr.processes {
			for _, f := range slices.Clone(p.flights) {
				tr.pass(f)
			}
		}
	}},
	{"a little time", 2, func(tr *trial) {
		tr.elapse(draw(tr, "time", time.Second, 10*time.Second, 30*time.Second))
	}},
	{"much time", 2, func(tr *trial) {
		if tr.atVault() {
			tr.t.Skip("a request does not take so long")
		}
		tr.elapse(draw(tr, "time", 5*time.Minute, 20*time.Minute, time.Hour, 3*time.Hour))
	}},
	{"the clock is set", 1, func(tr *trial) {
		by := draw(tr, "by", time.Second, -time.Second, -time.Minute, -5*time.Minute, -time.Hour, -24*time.Hour, time.Minute, time.Hour, 24*time.Hour)
		tr.offset, tr.unnoticed = tr.offset+by, true
		tr.setClocks()
		if by > 0 {
			tr.leapt(by)
		}
		tr.t.Logf("%s the clock is set by %s", tr.at(), by)
	}},
	{"news", 3, func(tr *trial) {
		p, kind := tr.aProcess(), draw(tr, "kind", sessionObject, secretObject)
		if draw(tr, "the watch was broken", false, true) {
			p.cache.relist(kind, p.hear)
			return
		}
		for range draw(tr, "how many", 1, 2, 4) {
			p.cache.deliver(kind, p.hear)
		}
	}},
	{"a crash", 1, func(tr *trial) { tr.crash(tr.aProcess()) }},
	{"an orderly restart", 1, func(tr *trial) {
		p := tr.aProcess()
		p.cancel()
		for _, f := range slices.Clone(p.flights) {
			tr.pass(f)
		}
		if slices.Contains(tr.processes, p) {
			tr.crash(p) // what could not be stored is lost with it
		}
	}},
	{"the lease is not renewed", 1, func(tr *trial) { tr.aProcess().unsure = true }},
	{"the lease is renewed", 2, func(tr *trial) {
		if p := tr.aProcess(); p.deposed == nil {
			p.unsure = false
		}
	}},
	{"another leader", 2, func(tr *trial) {
		if len(tr.processes) != 1 {
			tr.t.Skip("there is none, or two already")
		}
		tr.elapse(leaseDuration)
		tr.depose(tr.processes[0])
		tr.processes[0].unsure = draw(tr, "it knows", true, false)
		tr.unnoticed = true // clocks differ
		tr.start(draw(tr, "skew", 0, time.Second, -time.Second, 20*time.Second, -20*time.Second))
	}},
}

// atVault reports whether a request to a Secret Server is under way. Those are bounded in time.
func (tr *trial) atVault() bool {
	for _, p := range tr.processes {
		if slices.ContainsFunc(p.flights, func(f *flight) bool { return f.at.kind == vaultEffect }) {
			return true
		}
	}
	return false
}

// userActions are what people do to sessions and Secrets.
var userActions = []action{
	{"a renewal is asked for", 2, func(tr *trial) {
		name := tr.aSession()
		tr.requests++
		tr.updateSession(name, func(s *api.SecretServerSession) {
			s.Annotations = map[string]string{api.AnnotationRefreshRequested: strconv.Itoa(tr.requests)}
		})
	}},
	{"suspend", 1, func(tr *trial) {
		tr.updateSession(tr.aSession(), func(s *api.SecretServerSession) { s.Spec.Suspend = !s.Spec.Suspend })
	}},
	{"percent", 1, func(tr *trial) {
		percent := draw(tr, "percent", int32(67), 10, 90)
		tr.updateSession(tr.aSession(), func(s *api.SecretServerSession) { s.Spec.Refresh.Percent = percent })
	}},
	{"target name", 2, func(tr *trial) {
		name := tr.aSession()
		target := name.Name + draw(tr, "target", "", "-moved", "-elsewhere")
		tr.updateSession(name, func(s *api.SecretServerSession) { s.Spec.Target.Name = target })
	}},
	{"endpoint", 1, func(tr *trial) {
		name, url := tr.aSession(), draw(tr, "endpoint", vaultURLs...)
		tr.updateSession(name, func(s *api.SecretServerSession) {
			if s.Spec.Endpoint.URL != url {
				tr.allow(s.UID, anInterference, "another endpoint")
			}
			s.Spec.Endpoint.URL = url
		})
	}},
	{"the state Secret is deleted", 1, func(tr *trial) {
		if name := tr.aSession(); tr.deleteSecret(stateOf(name)) {
			tr.loseState(tr.kubernetes.sessions[name].UID)
		}
	}},
	{"the state Secret is spoiled", 1, func(tr *trial) {
		name, how := tr.aSession(), draw(tr, "how", "no record", "garbage", "no data", "no refresh token", "another access token", "not ours")
		tr.updateSecret(stateOf(name), func(s *corev1.Secret) {
			spoil(s, how)
			tr.loseState(tr.kubernetes.sessions[name].UID)
		})
	}},
	{"the target is deleted", 2, func(tr *trial) { tr.deleteSecret(tr.targetOf(tr.aSession())) }},
	{"the target is edited", 2, func(tr *trial) {
		how := draw(tr, "how", "another token", "a key more", "a key less", "another label", "not ours")
		tr.updateSecret(tr.targetOf(tr.aSession()), func(s *corev1.Secret) { edit(s, how) })
	}},
	{"somebody else takes the name", 1, func(tr *trial) {
		name := tr.aSession()
		taken := draw(tr, "which", tr.targetOf(name), stateOf(name), name.Name+"-moved")
		if tr.kubernetes.secrets[in(taken)] == nil {
			tr.createForeign(taken)
		}
	}},
	{"foreign Secrets go", 2, func(tr *trial) { tr.removeForeign() }},
	{"the session is made anew", 1, func(tr *trial) {
		name := tr.aSession()
		tr.deleteSession(name)
		tr.createSessions()
	}},
	{"the session is deleted", 1, func(tr *trial) { tr.deleteSession(tr.aSession()) }},
	{"sessions are made", 1, (*trial).createSessions},
	{"deletion policy", 1, func(tr *trial) {
		name, policy := tr.aSession(), draw(tr, "policy", api.DeletionRetain, api.DeletionRevoke)
		tr.updateSession(name, func(s *api.SecretServerSession) { s.Spec.DeletionPolicy = policy })
	}},
	{"garbage is collected", 2, func(tr *trial) { tr.kubernetes.collectGarbage() }},
}

// vaultActions are what people do to the account, and what becomes of the Secret Servers.
var vaultActions = []action{
	{"a wrong password in the Secret", 2, func(tr *trial) {
		tr.passwords++
		tr.setPassword(fmt.Sprintf("%swrong-%d", passwordMark, tr.passwords))
	}},
	{"the right password in the Secret", 2, func(tr *trial) { tr.setPassword(tr.vaults[vaultURLs[0]].password) }},
	{"another password at the server", 1, func(tr *trial) {
		tr.passwords++
		wipes := draw(tr, "tokens are wiped", false, true)
		for _, v := range tr.vaults {
			v.password = fmt.Sprintf("%s%d", passwordMark, tr.passwords)
			if wipes {
				tr.unnoticed = true
				v.forget()
			}
		}
	}},
	{"the credentials Secret is touched", 1, func(tr *trial) {
		tr.requests++
		tr.updateSecret(crashAccount, func(s *corev1.Secret) { s.Labels = map[string]string{"touched": strconv.Itoa(tr.requests)} })
	}},
	{"the credentials Secret goes", 1, func(tr *trial) { tr.deleteSecret(crashAccount) }},
	{"the Secret Servers forget all tokens", 1, func(tr *trial) {
		tr.unnoticed = true
		for _, v := range tr.vaults {
			v.forget()
		}
	}},
	{"an administrator ends the access tokens", 1, func(tr *trial) {
		tr.unnoticed = true
		for _, v := range tr.vaults {
			v.end()
		}
	}},
	{"a Secret Server is down", 2, func(tr *trial) { tr.beginOutage(draw(tr, "which", vaultURLs...)) }},
	{"the Secret Servers are back", 2, (*trial).endOutages},
	{"refresh tokens are switched on or off", 1, func(tr *trial) {
		for _, v := range tr.vaults {
			v.refreshTokens = !v.refreshTokens
		}
	}},
}

func spoil(s *corev1.Secret, how string) {
	switch how {
	case "no record":
		delete(s.Annotations, annotationRecord)
	case "garbage":
		s.Annotations = map[string]string{annotationRecord: "{"}
	case "no data":
		s.Data = nil
	case "no refresh token":
		delete(s.Data, keyRefreshToken)
	case "another access token":
		s.Data[keyAccessToken] = []byte("spoiled")
	case "not ours":
		s.OwnerReferences = nil
	}
}

func edit(s *corev1.Secret, how string) {
	switch how {
	case "another token":
		s.Data[api.TargetKeyToken] = []byte("edited")
	case "a key more":
		s.Data["more"] = []byte("edited")
	case "a key less":
		delete(s.Data, api.TargetKeyExpiresAt)
	case "another label":
		s.Labels = map[string]string{api.LabelManagedBy: "somebody"}
	case "not ours":
		s.OwnerReferences = nil
	}
}
