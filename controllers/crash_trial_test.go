package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

const (
	crashNamespace = "payments"
	crashAccount   = "account" // the Secret with the credentials
	onceUpon       = "2030-01-01T00:00:00Z"
)

var vaultURLs = []string{"https://one.example.com/SecretServer", "https://two.example.com"}

// trial is one run of the state machine: a Kubernetes, two Secret Servers that keep the same account, one session or
// two that use it, and the operator's processes. Nothing in it moves but by a draw.
type trial struct {
	t           *rapid.T
	world       world
	figures     *figures
	mutant      mutant
	ctx         context.Context //nolint:containedctx // carries the logger, for all of the trial
	metrics     *metrics
	concurrency int                // requests at a time per Secret Server
	choose      func(*flight) fate // what becomes of a pass at its next effect

	// truth is the time that passes. What the operator's machines take for the time differs from it by offset.
	truth  time.Time
	offset time.Duration
	// unnoticed: a token may have ended of which the operator believes that it lives.
	unnoticed bool
	within    time.Duration // how long the recovery may take, where that is known; zero: it is not

	kubernetes *kubernetes
	vaults     map[string]*vault
	processes  []*process
	started    int
	running    *flight
	passwords  int
	password   string // the last in the credentials Secret
	requests   int

	witness
	ledger
	endings
}

// world is what a trial finds.
type world struct {
	concurrency int
	sessions    int
	codes       bool // logins need one-time codes
	policy      api.DeletionPolicy
	verifyEvery time.Duration // zero: never
	vaults      map[string]vaultSettings
}

func drawWorld(t *rapid.T) world {
	w := world{
		concurrency: rapid.SampledFrom([]int{8, 1}).Draw(t, "requests at a time"),
		sessions:    rapid.IntRange(1, 2).Draw(t, "sessions"),
		vaults:      map[string]vaultSettings{},
	}
	lifetime := rapid.SampledFrom([]time.Duration{20 * time.Minute, time.Minute, 2 * time.Hour, 10 * time.Second}).Draw(t, "lifetime")
	w.policy = rapid.SampledFrom([]api.DeletionPolicy{api.DeletionRetain, api.DeletionRevoke}).Draw(t, "deletion policy")
	w.verifyEvery = rapid.SampledFrom([]time.Duration{0, max(lifetime/3, 30*time.Second)}).Draw(t, "verified every")
	for _, url := range vaultURLs {
		w.vaults[url] = vaultSettings{
			lifetime:      lifetime,
			refreshTokens: rapid.SampledFrom([]bool{true, true, true, false}).Draw(t, "refresh tokens"),
			refreshLimit:  rapid.SampledFrom([]int{3, 1000, 1, 0}).Draw(t, "refresh limit"),
			endsOld:       rapid.Bool().Draw(t, "a refresh ends the old token"),
		}
	}
	return w
}

func (w world) verification() *api.Verification {
	if w.verifyEvery == 0 {
		return nil
	}
	return &api.Verification{IntervalSeconds: int32(w.verifyEvery / time.Second)} //nolint:gosec // minutes
}

func newTrial(t *rapid.T, f *figures, m mutant, w world) *trial {
	truth, err := time.Parse(time.RFC3339, onceUpon)
	if err != nil {
		t.Fatal(err)
	}
	tr := &trial{
		t: t, figures: f, mutant: m, truth: truth, metrics: crashMetrics, concurrency: w.concurrency,
		vaults: map[string]*vault{}, password: passwordMark + "0",
		choose: func(*flight) fate { return fate{outcome: done} },
	}
	tr.ctx = log.IntoContext(context.Background(), zap.New(zap.UseDevMode(true), zap.WriteTo(logWatch{tr})))
	tr.kubernetes = newKubernetes(func() time.Time { return tr.truth })
	m.spoil(tr.kubernetes)
	tr.witness, tr.ledger, tr.endings, tr.world = newWitness(), newLedger(), newEndings(), w
	for url, settings := range w.vaults {
		tr.vaults[url] = newVault(url, settings, tr.password, func() time.Time { return tr.truth })
		tr.vaults[url].seeded = w.codes
	}
	tr.asUser(func() {
		tr.createSecret(&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: crashAccount},
			Data:       map[string][]byte{"username": []byte(crashUser), "password": []byte(tr.password), seedKey: []byte(rfcSeed)},
		})
		tr.createSessions()
	})
	tr.start(0)
	return tr
}

// close ends what is under way.
func (tr *trial) close() {
	for _, p := range slices.Clone(tr.processes) {
		tr.kill(p)
	}
}

func (tr *trial) wallTime() time.Time { return tr.truth.Add(tr.offset) }

// elapse lets time go by.
func (tr *trial) elapse(d time.Duration) {
	tr.truth = tr.truth.Add(d)
	tr.setClocks()
}

func (tr *trial) setClocks() {
	for _, p := range tr.processes {
		p.clock.SetTime(tr.wallTime().Add(p.skew))
	}
}

// start starts a process with a warm cache.
func (tr *trial) start(skew time.Duration) *process {
	tr.started++
	tr.figures.count("processes")
	tr.forgive(tr.stateLost)
	p := tr.newProcess(fmt.Sprintf("operator-%d", tr.started), skew)
	tr.t.Logf("%s %s starts, its clock off by %s", tr.at(), p.name, skew)
	return p
}

// kill ends a process at once, wherever its passes are.
func (tr *trial) kill(p *process) {
	for _, f := range p.flights {
		tr.t.Logf("%s %s/%s is killed before: %s", tr.at(), p.name, f.session.Name, f.at)
		f.stop()
	}
	p.flights = nil
	tr.processes = slices.DeleteFunc(slices.Clone(tr.processes), func(other *process) bool { return other == p })
	p.cancel()
}

// resume lets a pass go on to its next effect, or to its end.
func (tr *trial) resume(f *flight, v outcome) {
	f.outcome, tr.running = v, f
	tr.elapse(max(f.at.wait, time.Millisecond)) // nothing happens in no time
	at, more := f.next()
	tr.running = nil
	if f.at = at; !more {
		tr.figures.count("passes")
		tr.t.Logf("%s %s/%s ends: %v %v", tr.at(), f.process.name, f.session.Name, f.result, f.err)
		tr.passEnded(f)
		f.process.land(f)
		tr.review(holder{f.process, f.uid})
		tr.settle(f)
	}
	tr.examine(f)
}

// finish takes a pass to its end without a fault.
func (tr *trial) finish(f *flight) {
	for !f.ended {
		tr.t.Logf("%s %s/%s: %s", tr.at(), f.process.name, f.session.Name, f.at)
		tr.figures.count("effects")
		tr.resume(f, done)
	}
}

// asUser does what somebody else than the operator does.
func (tr *trial) asUser(do func()) {
	do()
	tr.acknowledge()
}

func (tr *trial) createSecret(secret *corev1.Secret) {
	secret.Namespace = crashNamespace
	if _, err := tr.kubernetes.createSecret(secret, "kubectl"); err != nil {
		tr.t.Fatalf("create Secret: %v", err)
	}
}

// updateSecret changes a Secret as somebody else, if it is there.
func (tr *trial) updateSecret(name string, change func(*corev1.Secret)) {
	held := tr.kubernetes.secrets[in(name)]
	if held == nil {
		return
	}
	secret := held.DeepCopy()
	change(secret)
	if _, err := tr.kubernetes.updateSecret(secret, "kubectl"); err != nil {
		tr.t.Fatalf("update Secret: %v", err)
	}
}

func (tr *trial) deleteSecret(name string) bool {
	return tr.kubernetes.deleteSecret(in(name), metav1.Preconditions{}) == nil
}

// createSessions makes the sessions that are not there.
func (tr *trial) createSessions() {
	for _, name := range []string{"billing", "payroll", "invoices"}[:tr.world.sessions] {
		if tr.kubernetes.sessions[in(name)] == nil {
			tr.createSession(name)
		}
	}
}

func (tr *trial) createSession(name string) {
	tr.kubernetes.putSession(&api.SecretServerSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: crashNamespace, Name: name},
		Spec: api.SecretServerSessionSpec{
			Endpoint:    api.Endpoint{URL: vaultURLs[0], TimeoutSeconds: 30},
			Credentials: api.Credentials{SecretRef: api.SecretReference{Name: crashAccount}, UsernameKey: "username", PasswordKey: "password"},
			Target:      api.Target{Type: string(corev1.SecretTypeOpaque)},
			Refresh:     api.Refresh{Percent: 67},

			DeletionPolicy: tr.world.policy,
			Verification:   tr.world.verification(),
		},
	})
	if tr.world.codes {
		tr.updateSession(in(name), func(s *api.SecretServerSession) { s.Spec.Credentials.OTPSeedKey = seedKey })
	}
	tr.allow(tr.kubernetes.sessions[in(name)].UID, theBeginning, "of "+name)
}

// updateSession changes a session as a user does.
func (tr *trial) updateSession(name types.NamespacedName, change func(*api.SecretServerSession)) {
	s := tr.kubernetes.sessions[name].DeepCopy()
	change(s)
	tr.kubernetes.putSession(s)
}

// sessionNames are those of the sessions that there are, in order.
func (tr *trial) sessionNames() []types.NamespacedName {
	return slices.SortedFunc(maps.Keys(tr.kubernetes.sessions), byName)
}

// at is the time for the log.
func (tr *trial) at() string {
	begin, err := time.Parse(time.RFC3339, onceUpon)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("t+%s", tr.truth.Sub(begin))
}

func in(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: crashNamespace, Name: name}
}

func (tr *trial) targetOf(name types.NamespacedName) string {
	return tr.kubernetes.sessions[name].TargetName()
}

// setPassword writes a password into the credentials Secret, also where there is none.
func (tr *trial) setPassword(password string) {
	if password != tr.password {
		tr.password = password
		tr.allowAll(anInterference, "another password in the Secret")
	}
	held := tr.kubernetes.secrets[in(crashAccount)]
	if held == nil {
		tr.createSecret(&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: crashAccount},
			Data:       map[string][]byte{"username": []byte(crashUser), "password": []byte(password), seedKey: []byte(rfcSeed)},
		})
	} else {
		tr.updateSecret(crashAccount, func(s *corev1.Secret) { s.Data["password"] = []byte(password) })
	}
}

// loseState notes that the operator was robbed of what it had stored for a session.
func (tr *trial) loseState(uid types.UID) {
	tr.stateLost = tr.truth
	tr.lost[uid] = true
	clear(tr.knownDead)
	tr.allow(uid, anInterference, "the state Secret is lost")
}

func (tr *trial) createForeign(name string) {
	tr.createSecret(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string][]byte{"theirs": []byte("precious")}})
}

// removeForeign deletes the Secrets that stand in the way and are not the operator's.
func (tr *trial) removeForeign() {
	for _, name := range slices.SortedFunc(maps.Keys(tr.kubernetes.secrets), byName) {
		if metav1.GetControllerOf(tr.kubernetes.secrets[name].Secret) == nil && name.Name != crashAccount {
			tr.deleteSecret(name.Name)
		}
	}
}
