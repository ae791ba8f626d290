package controllers

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

const (
	// mostPasses bounds how many passes a session takes to recover, once nothing goes wrong any more. Those that only wait
	// for the watch do not count.
	mostPasses = 25
	// steadyGrants is how many renewals are watched after the recovery.
	steadyGrants = 3
)

// heal ends all that stands against the sessions. One process is left, in the state it is in: the leader.
func (tr *trial) heal() {
	tr.t.Logf("%s --- from here on, nothing goes wrong ---", tr.at())
	for _, p := range slices.Clone(tr.processes) {
		if p.ctx.Err() != nil || p.deposed != nil {
			tr.crash(p)
		}
	}
	tr.endOutages()
	tr.asUser(func() {
		right := tr.vaults[vaultURLs[0]].password
		if held := tr.kubernetes.secrets[in(crashAccount)]; held == nil || string(held.Data["password"]) != right {
			tr.setPassword(right)
		}
		tr.removeForeign()
		for _, name := range tr.sessionNames() {
			tr.updateSession(name, func(s *api.SecretServerSession) { s.Spec.Suspend = false })
		}
	})
	p := tr.aProcess()
	p.unsure = false
	for _, f := range slices.Clone(p.flights) {
		tr.finish(f)
	}
	tr.asUser(tr.kubernetes.collectGarbage)
}

// longestRecovery is how long a session may take to be well again. A retry waits five minutes at most, for Secret Server
// and for a target that the API server did not accept. An account that had bad logins is left alone for 65 minutes. That
// a server forgot a token, or that a clock took its expiry for another, is noticed when the token is due.
func (tr *trial) longestRecovery() time.Duration {
	if tr.within > 0 {
		return tr.within
	}
	longest := session.LongestBackoff + unwritableRetry + time.Minute
	if tr.truth.Sub(tr.failedLogin) < lockoutWindow+time.Minute {
		longest += lockoutWindow
	}
	if tr.unnoticed {
		longest += tr.noticedWithin()
	}
	return longest
}

// recover drives the one process as its manager would, by its queue and its watches alone, until every session is
// well and at rest.
func (tr *trial) recover() {
	begun, longest, passes := tr.truth, tr.longestRecovery(), map[types.NamespacedName]int{}
	for p := tr.processes[0]; ; {
		p.catchUp()
		tr.mustLeave(begun)
		if next, found := p.next(); (!found || p.queue[next].After(tr.truth)) && tr.allWell() {
			break
		}
		name := tr.turn(p)
		if at, queued := p.queue[name]; !tr.well(name) && (!queued || at.Sub(tr.truth) != catchUp) {
			passes[name]++
		}
		if passes[name] > mostPasses {
			tr.t.Fatalf("%s %s is not well after %d passes", tr.at(), name.Name, passes[name])
		}
		if took := tr.truth.Sub(begun); took > longest {
			tr.t.Fatalf("%s not well after %s, and after %s at most it should be", tr.at(), took, longest)
		}
	}
	for _, n := range passes {
		tr.figures.most("passes to recover", n)
	}
}

// turn takes the next pass, when its time has come. Before time goes by, what is written must agree.
func (tr *trial) turn(p *process) types.NamespacedName {
	next, found := p.next()
	if !found {
		tr.t.Fatalf("%s not well, and nothing would ever bring a session back", tr.at())
	}
	if wait := p.queue[next].Sub(tr.truth); wait > 0 {
		for _, name := range tr.sessionNames() {
			if at, queued := p.queue[name]; p.retries[name] == 0 && !p.stood[name] && (!queued || at.Sub(tr.truth) > catchUp) {
				tr.mustAgree(name)
			}
		}
		tr.elapse(wait)
	}
	tr.finish(p.begin(next))
	tr.asUser(tr.kubernetes.collectGarbage)
	return next
}

// next is the session that is due first.
func (p *process) next() (types.NamespacedName, bool) {
	names := slices.SortedFunc(maps.Keys(p.queue), func(a, b types.NamespacedName) int {
		if order := p.queue[a].Compare(p.queue[b]); order != 0 {
			return order
		}
		return byName(a, b)
	})
	if len(names) == 0 {
		return types.NamespacedName{}, false
	}
	return names[0], true
}

// well reports whether a session's target holds a token that its server accepts, and its status says so.
func (tr *trial) well(name types.NamespacedName) bool {
	s := tr.kubernetes.sessions[name]
	if s == nil {
		return true // it is deleted, and gone
	}
	return s.DeletionTimestamp.IsZero() && tr.holdsToken(name) && meta.IsStatusConditionTrue(s.Status.Conditions, api.ConditionReady) &&
		meta.FindStatusCondition(s.Status.Conditions, api.ConditionStalled) == nil &&
		meta.FindStatusCondition(s.Status.Conditions, api.ConditionReconciling) == nil
}

func (tr *trial) allWell() bool {
	return !slices.ContainsFunc(tr.sessionNames(), func(name types.NamespacedName) bool { return !tr.well(name) })
}

func (tr *trial) holdsToken(name types.NamespacedName) bool {
	s := tr.kubernetes.sessions[name]
	target := tr.kubernetes.secrets[in(s.TargetName())]
	return target != nil && metav1.IsControlledBy(target.Secret, s) &&
		tr.vaults[s.Spec.Endpoint.URL].accepts(string(target.Data[api.TargetKeyToken]))
}

// mustAgree compares what is stored, what is published and what is said of it, at a moment when the operator believes
// that there is nothing to do.
func (tr *trial) mustAgree(name types.NamespacedName) {
	s := tr.kubernetes.sessions[name]
	held := tr.kubernetes.secrets[in(stateOf(name))]
	if held == nil || !s.DeletionTimestamp.IsZero() || !metav1.IsControlledBy(held.Secret, s) {
		return
	}
	content, err := readState(held.Secret)
	if err != nil || !content.HasToken() {
		return
	}
	target := tr.kubernetes.secrets[in(s.TargetName())]
	if target == nil || !maps.EqualFunc(target.Data, defaultData(content), slices.Equal) {
		tr.t.Fatalf("%s %s at rest: the target does not hold the stored token (grant %d, %s)", tr.at(), name.Name, content.Sequence(), content.AccessToken)
	}
	if said := s.Status.LoginCount + s.Status.RefreshCount; said != content.Sequence() {
		tr.t.Fatalf("%s %s at rest: the status tells of grant %d, stored is grant %d", tr.at(), name.Name, said, content.Sequence())
	}
	if at, queued := tr.processes[0].queue[name]; content.Former != nil && (!queued || at.Sub(tr.truth) > time.Second) {
		tr.t.Fatalf("%s %s at rest: a former token waits to be revoked", tr.at(), name.Name)
	}
	if s.Status.TargetName != target.Name {
		tr.t.Fatalf("%s %s at rest: the status names target %q", tr.at(), name.Name, s.Status.TargetName)
	}
	for _, other := range tr.kubernetes.secrets {
		ours := metav1.IsControlledBy(other.Secret, s) && other.Labels[api.LabelManagedBy] == api.ManagedBy
		if ours && other.Name != held.Name && other.Name != target.Name {
			tr.t.Fatalf("%s %s at rest: Secret %s is left over", tr.at(), name.Name, other.Name)
		}
	}
}

// calmDown goes on until what went wrong has no bearing any more: each session has a token whose times this process
// took, for one by another clock may expire sooner than anybody thinks; and no failed login holds the account. It
// reports whether that is so soon enough: with the shortest tokens, an hour is a thousand renewals.
func (tr *trial) calmDown(p *process) bool {
	free := tr.failedLogin.Add(refusedRetry + time.Minute)
	if free.Sub(tr.truth) > 100*tr.vaults[vaultURLs[0]].lifetime {
		return false
	}
	granted := maps.Clone(tr.granted)
	same := func(name types.NamespacedName) bool {
		uid := tr.kubernetes.sessions[name].UID
		return tr.granted[uid] == granted[uid]
	}
	for slices.ContainsFunc(tr.sessionNames(), same) || tr.truth.Before(free) {
		tr.turn(p)
		p.catchUp()
	}
	return true
}

// prosper watches the sessions for a while in which nothing goes wrong: no target may ever hold an expired token, and
// no login may happen but where a chain ends.
func (tr *trial) prosper() {
	p := tr.processes[0]
	if len(tr.kubernetes.sessions) == 0 || !tr.calmDown(p) {
		return
	}
	tr.figures.count("prosperous trials")
	maps.Copy(tr.allowed, tr.logins)
	clear(tr.ends)
	sessions := len(tr.kubernetes.sessions)
	grants, effects, passes := tr.figures.grants(), tr.figures.counts["effects"], 0
	verifications := tr.figures.counts["verifications"]
	for made := 0; made < steadyGrants*sessions; {
		tr.turn(p)
		p.catchUp()
		passes++
		made = tr.figures.grants() - grants
		for _, name := range tr.sessionNames() {
			if !tr.holdsToken(name) {
				tr.t.Fatalf("%s %s: the target holds no valid token, though nothing went wrong", tr.at(), name.Name)
			}
		}
		verified := tr.figures.counts["verifications"] - verifications
		if passes > 3*(made+sessions)+verified {
			tr.t.Fatalf("%s %d passes for %d renewals", tr.at(), passes, made)
		}
		if sent := tr.figures.counts["effects"] - effects; sent > 9*(made+sessions)+2*verified {
			tr.t.Fatalf("%s %d requests for %d renewals", tr.at(), sent, made)
		}
	}
}
