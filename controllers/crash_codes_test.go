package controllers

import (
	"context"
	"strconv"
	"time"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// seedKey is where the credentials Secret has the seed of the account's one-time codes, if it has any.
const seedKey = "seed"

// Ahead asks for the time, which is harmless.
func (c connection) Ahead(context.Context) (time.Duration, error) {
	f := c.trial.running
	o := f.pause(effect{kind: vaultEffect, operation: secretserver.ReadClock})
	if c.vault.down {
		o.err = vaultFailure(secretserver.NotSent, secretserver.ConnectionRefused, 0)
	}
	return c.trial.truth.Sub(f.process.clock.Now()), of(secretserver.ReadClock, o.err)
}

// stepOf is the time step that a one-time code is of, nearest to the server's time; zero: of none.
func (v *vault) stepOf(code string) int64 {
	present := session.CodeStep(v.now())
	for distance := range int64(40) {
		for _, step := range []int64{present - distance, present + distance} {
			if made, err := codeOf(rfcSeed, step); err == nil && made == code {
				return step
			}
		}
	}
	return 0
}

// takes reports whether a one-time code is right: of now, of the last time step or of the next, and not used.
func (v *vault) takes(code string) bool {
	step := v.stepOf(code)
	distance := step - session.CodeStep(v.now())
	used := v.codes[step]
	v.codes[step] = true
	return -1 <= distance && distance <= 1 && !used
}

// codeSent counts a one-time code that may have got to a Secret Server.
func (tr *trial) codeSent(v *vault, code string) {
	step := v.stepOf(code)
	tr.figures.count("one-time codes")
	if tr.codes[step] {
		tr.complain("the one-time code of time step %d was sent twice", step)
	}
	tr.codes[step] = true
}

func withCodes(w *world) { w.codes = true }

func twoWithCodes(w *world) { w.codes, w.sessions = true, 2 }

// anotherLogin is one that a user asks for just after the last, of a new process.
func anotherLogin(tr *trial) {
	tr.restart()
	tr.requests++
	tr.asUser(func() {
		tr.updateSession(in("billing"), func(s *api.SecretServerSession) {
			s.Annotations = map[string]string{api.AnnotationRefreshRequested: strconv.Itoa(tr.requests)}
		})
	})
}

// forgetCode leaves out of what is written which code was used. Who wrote it believes that it stands there.
func forgetCode(_ *kubernetes, send sendFunc) sendFunc {
	return func(ctx context.Context, r apiRequest, do func() error) error {
		record := writtenRecord(r)
		if record == nil || record.CodeStep == 0 {
			return send(ctx, r, do)
		}
		text := r.object.Annotations[annotationRecord]
		record.CodeStep = 0
		if err := rewrite(r, record); err != nil {
			return err
		}
		err := send(ctx, r, do)
		r.object.Annotations[annotationRecord] = text
		return err
	}
}
