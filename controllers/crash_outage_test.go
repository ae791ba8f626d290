package controllers

import (
	"strconv"
	"time"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

// isDown reports whether a process knows that a Secret Server is down.
func (p *process) isDown(v *vault) bool {
	for at, known := range p.reconciler.outages.known {
		if at.url == canonical(v.url) && known.down() {
			return true
		}
	}
	return false
}

// ask stops the pass before a request to the Secret Server, and returns how that is to go. While it is known to be down, one
// session at a time asks, and something harmless before it sends a grant.
func (c connection) ask(o secretserver.Operation) outcome {
	f := c.trial.running
	if f.process.isDown(c.vault) {
		for _, other := range f.process.flights {
			if other != f && other.asks == c.vault {
				c.trial.complain("%s: %s, while %s asks %s for all", f.session.Name, o, other.session.Name, c.vault.url)
			}
		}
		if o != secretserver.VerifyToken && f.heard != c.vault {
			c.trial.complain("%s: %s, though %s is down, and nothing harmless was asked", f.session.Name, o, c.vault.url)
		}
		f.asks = c.vault
		c.trial.figures.count("requests for all")
	}
	f.heard = nil
	how := f.pause(effect{kind: vaultEffect, operation: o})
	f.asks = nil
	if c.vault.down {
		return outcome{name: "down", err: vaultFailure(secretserver.NotSent, secretserver.ConnectionRefused, 0)}
	}
	if answered(how.err) {
		f.heard = c.vault
	}
	return how
}

// longestOutage is how long after the return of a Secret Server all of its sessions are well: the longest wait of a probe.
const longestOutage = 20 * time.Second

// anOutage is one that all sessions have met. theReturn is of the server, after some more questions.
func anOutage(tr *trial) {
	tr.work()
	tr.beginOutage(vaultURLs[0])
	tr.passes(16)
}

func theReturn(tr *trial) {
	tr.passes(4)
	tr.endOutages()
}

// passes takes the newest process through some passes, each when it is due.
func (tr *trial) passes(n int) {
	for range n {
		if len(tr.processes) == 0 {
			tr.start(0)
		}
		p := tr.processes[len(tr.processes)-1]
		p.catchUp()
		tr.untilDue()
		if next, found := p.next(); found {
			tr.pass(p.begin(next))
		}
	}
}

// beginOutage takes a Secret Server away, and has all sessions find out.
func (tr *trial) beginOutage(url string) {
	tr.vaults[url].down = true
	tr.asUser(func() {
		for _, name := range tr.sessionNames() {
			tr.requests++
			tr.updateSession(name, func(s *api.SecretServerSession) {
				s.Annotations = map[string]string{api.AnnotationRefreshRequested: strconv.Itoa(tr.requests)}
			})
		}
	})
}

func (tr *trial) endOutages() {
	for _, v := range tr.vaults {
		v.down = false
	}
}
