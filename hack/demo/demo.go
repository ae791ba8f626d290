package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
	"tokensync.dev/secret-server-operator/hack/operator"
)

// namespace is that of the samples.
const namespace = "demo"

// errTimeUp ends a demo that was given a time.
var errTimeUp = errors.New("time is up")

// A demo is one run: what it has started, and what it tells.
type demo struct {
	options      options
	screen       *screen
	samples      *samples
	cluster      *cluster
	vault        *vault
	operator     *operator.Process // nil until it is started
	observations chan observation
	story        *story
	promises     *promises
	cleanups     []func() error // to be called last first
}

func newDemo(o options, s *screen) *demo {
	p := newPromises(s.start)
	return &demo{
		options: o, screen: s, promises: p, story: newStory(p),
		observations: make(chan observation, 64),
	}
}

// run shows the whole demo, until the context ends or its time is up, and leaves nothing behind. It is an error if a promise
// is not kept by then.
func (d *demo) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, d.cleanUp(), d.screen.err) }()
	if err := d.setUp(ctx); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return d.withLastWords(err)
	}
	d.instruct(ctx)
	ending := d.narrate(ctx)
	d.sumUp()
	open := strings.Join(d.promises.open(), "; ")
	switch {
	case ending != nil:
		return d.withLastWords(ending)
	case open == "":
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%w before this was seen: %s", context.Cause(ctx), open)
	}
	return d.withLastWords(fmt.Errorf("not seen within %s: %s", seconds(d.options.duration), open))
}

// setUp starts everything, in the order in which each needs the other.
func (d *demo) setUp(ctx context.Context) error {
	var err error
	if d.samples, err = readSamples(filepath.Join(d.options.config, "samples")); err != nil {
		return err
	}
	d.screen.fit(d.samples.names())
	if d.options.duration > 0 && d.options.duration < storyLength {
		d.screen.printf("%s is too short: until the fall-back login it takes up to %s. This run will end with an error.\n",
			seconds(d.options.duration), seconds(storyLength))
	}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"the fake Secret Server: tokens of " + seconds(tokenLifetime), d.startVault},
		{"etcd, kube-apiserver and kube-controller-manager (some seconds), the CRD", d.startCluster},
		{"the operator, with the generated role and no more", d.startOperator},
		{"the samples, in namespace " + namespace, d.applySamples},
	} {
		d.screen.show(line{at: time.Now(), event: "start", detail: step.what})
		if err := step.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) startVault(context.Context) error {
	accounts, err := d.samples.accounts()
	if err != nil {
		return err
	}
	d.vault, err = openVault(accounts, d.samples.hosts())
	if err != nil {
		return err
	}
	d.afterwards(func() error { d.vault.Close(); return nil })
	return nil
}

func (d *demo) startCluster(ctx context.Context) (err error) {
	if d.cluster, err = startCluster(ctx, d.options.config); err != nil {
		return err
	}
	d.afterwards(d.cluster.Stop)
	return nil
}

func (d *demo) startOperator(ctx context.Context) error {
	kubeconfig, err := d.cluster.admitOperator(ctx, d.options.config)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "secret-server-demo-")
	if err != nil {
		return err
	}
	d.afterwards(func() error { return os.RemoveAll(dir) })
	if d.operator, err = operator.Start(ctx, operator.Options{
		Binary: d.options.operator, Kubeconfig: kubeconfig, Log: filepath.Join(dir, "operator.log"),
	}); err != nil {
		return err
	}
	d.afterwards(d.operator.Stop)
	return nil
}

// applySamples applies the samples under the eyes of the watcher.
func (d *demo) applySamples(ctx context.Context) error {
	watching, stop := context.WithCancel(ctx)
	w := &watcher{
		namespace:    namespace,
		grantOf:      func(t token) grant { return grantOf(d.vault.Journal(), t) },
		observations: d.observations,
	}
	wait, err := w.start(watching, d.cluster)
	if err != nil {
		stop()
		return err
	}
	d.afterwards(func() error { stop(); return wait() })
	if err := d.samples.move(namespace, d.vault.URL()); err != nil {
		return err
	}
	return d.samples.apply(ctx, d.cluster.client, namespace, d.vault.CA())
}

// narrate tells the story as it happens. It is an error if it cannot go on before the context ends or the time is up.
func (d *demo) narrate(ctx context.Context) error {
	if d.options.duration > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, d.options.duration, errTimeUp)
		defer cancel()
		ctx = limited
	}
	for {
		select {
		case o := <-d.observations:
			d.screen.show(d.story.tell(o)...)
			if err := d.act(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		case <-d.operator.Done():
			return d.operator.Err()
		case <-ctx.Done():
			d.screen.show(line{at: time.Now(), event: "end", detail: context.Cause(ctx).Error()})
			return nil
		}
		if d.screen.err != nil {
			return nil // run reports it
		}
	}
}

// act does what the story wants done.
func (d *demo) act(ctx context.Context) error {
	for a, ok := d.story.next(); ok; a, ok = d.story.next() {
		switch a.deed {
		case tryToken:
			tried := d.vault.try(ctx, a.session, a.token)
			if ctx.Err() == nil { // else the answer, if any, says nothing of the token
				d.screen.show(d.story.tell(tried)...)
			}
		case deleteTarget:
			d.screen.show(d.story.tell(targetDeletion{moment: moment(time.Now()), session: a.session, secret: a.secret})...)
			if err := d.cluster.deleteSecret(ctx, namespace, a.secret); err != nil {
				return err
			}
		}
	}
	return nil
}

// instruct tells what the user can do meanwhile.
func (d *demo) instruct(ctx context.Context) {
	kubectl, session := d.cluster.kubectl(ctx, namespace), d.samples.sessions[0]
	ending := "Ctrl-C ends the demo."
	if d.options.duration > 0 {
		ending = fmt.Sprintf("The demo ends in %s, or with Ctrl-C.", seconds(d.options.duration))
	}
	d.screen.printf(`
Meanwhile, in another terminal:

  export KUBECONFIG=%s
  %[2]s get sss -n %[3]s -o wide -w
  %[2]s describe sss %[4]s -n %[3]s
  %[2]s delete secret %[5]s -n %[3]s
  tail -f %[6]s

%[7]s
`, d.cluster.KubeconfigPath(), kubectl, namespace, session.Name, session.TargetName(), d.operator.Log(), ending)
	d.screen.heading()
}

// sumUp shows the promises beside what was seen, and what Secret Server counted.
func (d *demo) sumUp() {
	d.screen.printf("\n%s", d.promises.table())
	const password, refresh = secretservertest.Password, secretservertest.Refresh
	stats := d.vault.Stats()
	d.screen.printf("\nSecret Server granted %d logins and %d refreshes; it refused %d logins and %d refreshes, %d of these over the limit.\n",
		stats.Granted(password), stats.Granted(refresh), stats.Refused(password), stats.Refused(refresh),
		stats.Grants[refresh][secretservertest.LimitReached])
}

// withLastWords adds what the operator wrote last to an error, as its log will be gone.
func (d *demo) withLastWords(err error) error {
	if d.operator == nil {
		return err
	}
	return fmt.Errorf("%w\n%s", err, d.operator.LastWords())
}

// afterwards has something done when the demo ends, before what was asked for earlier.
func (d *demo) afterwards(do func() error) { d.cleanups = append(d.cleanups, do) }

func (d *demo) cleanUp() error {
	d.screen.printf("\nStopping the programs and removing temporary files.\n")
	var errs []error
	for _, do := range slices.Backward(d.cleanups) {
		errs = append(errs, do())
	}
	return errors.Join(errs...)
}
