package session

import "time"

// Former is an access token that a login with another endpoint, account or password has replaced, and that is still to
// be revoked. The token itself stands beside the record.
type Former struct {
	// ServerURL is the base URL that the token belongs to, ExpiresAt when it expires.
	ServerURL string    `json:"serverURL"`
	ExpiresAt time.Time `json:"expiresAt"`
}

const (
	// tellFirst is how long a former token is left alone at most once its successor is published, so that the status can
	// tell of that first: a Secret Server that does not answer must not delay the news.
	tellFirst = 100 * time.Millisecond
	// crowdedRetry brings back a session that waits for its turn to revoke, should nobody wake it.
	crowdedRetry = 30 * time.Second
)

// tokenAlive reports whether an access token is known that is alive: stored, held in memory, or a former one.
func (o Observation) tokenAlive(now time.Time) bool {
	return o.Unstored || o.Record.Alive(now) || o.Record.FormerAlive(now)
}

// Alive reports whether an access token is stored that has time left, and that Secret Server did not end.
func (r Record) Alive(now time.Time) bool {
	return r.HasToken() && r.EndedAt.IsZero() && now.Before(r.ExpiresAt)
}

// FormerAlive reports whether a former token is kept that has time left.
func (r Record) FormerAlive(now time.Time) bool {
	return r.Former != nil && now.Before(r.Former.ExpiresAt)
}

// leave plans for an object on its way out: one attempt to revoke, and then nothing holds it. Without our finalizer it is
// none of our business.
func (o Observation) leave(now time.Time) Plan {
	switch {
	case !o.Finalizer:
		return Plan{Action: Wait}
	case !o.Revoking, o.Revoked, o.Suspended, !o.tokenAlive(now), !now.Before(o.LetGoAt):
		return Plan{Action: RemoveFinalizer}
	case o.Busy:
		return Plan{Action: Wait, Obstacle: Busy, At: o.LetGoAt}
	}
	return Plan{Action: Revoke}
}

// formerDue reports whether it is time to revoke the former token: once the status tells of its successor, or before
// another one is replaced, since only one is kept.
func (o Observation) formerDue() bool {
	return o.Record.Former != nil && !o.Crowded && (o.Told || o.changed() || !o.Record.HasToken())
}

// formerAt is when to look at the former token again; zero: only when something changes.
func (o Observation) formerAt(now time.Time) time.Time {
	switch {
	case o.Record.Former == nil, o.Suspended:
		return time.Time{}
	case o.Crowded:
		return now.Add(crowdedRetry)
	case o.Published && !o.Told:
		return now.Add(tellFirst)
	}
	return time.Time{}
}
