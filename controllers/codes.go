package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// codes remembers the one-time codes that were used, by account: Secret Server may take each code once, and count a
// second use as a bad login. What a restart must not forget, and other shards must know, stands in the sessions'
// records.
type codes struct {
	mu   sync.Mutex
	used map[string]usedCode
}

// usedCode is the last code of an account: its time step, and how far Secret Server's clock was ahead then.
type usedCode struct {
	step  int64
	ahead time.Duration
}

func newCodes() *codes { return &codes{used: map[string]usedCode{}} }

// nextAt is when the account has a code that was not used, as far as this process knows; zero: now, or Secret Server's
// clock must be asked, since one of the clocks has been set.
func (c *codes) nextAt(account string, now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, ok := c.used[account]
	if !ok {
		return time.Time{}
	}
	if at := session.NextCodeAt(last.step, last.ahead, now); at.Sub(now) <= session.CodePeriod {
		return at
	}
	return time.Time{}
}

// last is the time step of the account's last code, zero if none is known.
func (c *codes) last(account string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used[account].step
}

// use notes a code that is about to be sent.
func (c *codes) use(account string, code usedCode, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.used) >= sweepAbove {
		for name, old := range c.used {
			if session.NextCodeAt(old.step, old.ahead, now).IsZero() {
				delete(c.used, name)
			}
		}
	}
	c.used[account] = code
}

// prepareCode makes the one-time code of a login that needs one. It reports whether the login can go on: not if the
// present code has been used already, nor if Secret Server does not answer or its clock is too far off. The caller has
// the account to itself within this process.
func (p *pass) prepareCode(ctx context.Context, server SecretServer) (bool, error) {
	l := p.login
	if l.credentials.OTPSeed == "" {
		return true, nil
	}
	ahead, err := server.Ahead(ctx)
	if err != nil {
		return false, p.loginFailed(ctx, err)
	}
	if !session.Tolerable(ahead) {
		p.clocksDiffer()
		return false, nil
	}
	used, err := p.lastCode(ctx, l.account)
	if err != nil {
		return false, err
	}
	now := p.now()
	if l.codeAt = session.NextCodeAt(used, ahead, now); now.Before(l.codeAt) {
		p.codes.use(l.account, usedCode{used, ahead}, now)
		return false, nil
	}
	l.code = usedCode{session.CodeStep(now.Add(ahead)), ahead}
	l.credentials.OTP, err = codeOf(l.credentials.OTPSeed, l.code.step)
	return err == nil, err
}

// lastCode is the time step of the last code that was used for an account, by this process or, as far as the watch
// shows, by earlier ones and other shards.
func (p *pass) lastCode(ctx context.Context, account string) (int64, error) {
	records, err := p.recordsOf(ctx, account)
	if err != nil {
		return 0, err
	}
	step := p.codes.last(account)
	for _, r := range append(records, namedRecord{Record: p.state.record}) {
		if r.Account == account || (r.Attempt != nil && r.Attempt.Account == account) {
			step = max(step, r.CodeStep)
		}
	}
	return step, nil
}

// useCode notes the code as used, now that the record says so. It reports whether it is still the present one: if
// writing the record took long, it is not sent.
func (p *pass) useCode() bool {
	l := p.login
	if l.credentials.OTPSeed == "" {
		return true
	}
	now := p.now()
	p.codes.use(l.account, l.code, now)
	return session.CodeStep(now.Add(l.code.ahead)) == l.code.step
}

// clocksDiffer notes that no one-time code of ours would fit Secret Server's clock. That ends without a change of the
// session, so it is retried like a failure of the server.
func (p *pass) clocksDiffer() {
	p.failed(session.Password, &secretserver.Error{Operation: secretserver.ReadClock, Kind: secretserver.Protocol})
	p.failure.message = fmt.Sprintf("The clock of %s and the operator's are more than %.0f minutes apart, so no one-time code would be right "+
		"and none is sent. Correct the clock that is wrong. It is retried.", serverURL(p.session), session.LongestSkew.Minutes())
}
