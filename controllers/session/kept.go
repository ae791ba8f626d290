package session

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"time"
)

// Kept is the stored form of a record in less than half of the memory, for who keeps many. The stored form can be had from it to
// the letter, and the record in a fraction of the time. It is no format: no other process reads it.
type Kept string

// What a Kept begins with. No stored form does, nor does anything that an API server takes for a name.
const (
	keptFields = '\x01' // the fields of the record, as walk visits them
	keptText   = '\x02' // the stored form: it is no record, or another release wrote it
)

// Keep makes it of a stored form.
func Keep(text string) Kept {
	r, err := Decode(text)
	if err != nil {
		return KeepText(text)
	}
	return KeepRecord(r, text)
}

// KeepRecord makes it of a record and its stored form, for who has decoded that already. It does not change what the record points to.
func KeepRecord(r Record, text string) Kept {
	k := keeper{bytes: append(make([]byte, 0, len(text)), keptFields)}
	r.Attempt, r.Former = clone(r.Attempt), clone(r.Former) // a walk may write
	r.walk(&k)
	if kept := Kept(k.bytes); kept.Text() == text {
		return kept
	}
	return KeepText(text)
}

// KeepText keeps a stored form as it stands.
func KeepText(text string) Kept { return Kept(string(keptText) + text) }

func clone[T any](of *T) *T {
	if of == nil {
		return nil
	}
	return new(*of)
}

// Text is the stored form.
func (k Kept) Text() string {
	if k == "" || k[0] != keptFields {
		return k.rest()
	}
	r, err := k.Record()
	if err != nil {
		return ""
	}
	text, err := r.Encode()
	if err != nil {
		return ""
	}
	return text
}

// Record is what Decode makes of the stored form. Its strings are part of the Kept.
func (k Kept) Record() (Record, error) {
	if k == "" || k[0] != keptFields {
		return Decode(k.rest())
	}
	var r Record
	keeping := reader{rest: k.rest()}
	r.walk(&keeping)
	if keeping.failed || keeping.rest != "" {
		return Record{}, fmt.Errorf("%w: not what was kept", ErrRecord)
	}
	if err := r.check(); err != nil {
		return Record{}, err
	}
	return r, nil
}

func (k Kept) rest() string {
	if k == "" {
		return ""
	}
	return string(k[1:])
}

// A walker visits the fields of a record one after the other, to write them or to read them.
type walker interface {
	text(*string)
	number(*int64)
	moment(*time.Time)
}

// walk shows a walker all fields. What it leaves out is not kept; Keep would see that.
func (r *Record) walk(w walker) {
	r.Identity.walk(w)
	for _, text := range []*string{&r.Account, &r.Token, &r.ServerURL, (*string)(&r.Grant), (*string)(&r.Refresh), &r.Handled} {
		w.text(text)
	}
	for _, moment := range []*time.Time{&r.IssuedAt, &r.ExpiresAt, &r.EndedAt, &r.RefreshExpiresAt, &r.LastLoginAt, &r.LastRefreshAt} {
		w.moment(moment)
	}
	for _, count := range []*int64{&r.RefreshesSinceLogin, &r.Logins, &r.Refreshes, &r.CodeStep} {
		w.number(count)
	}
	if has(w, r.Attempt != nil) {
		r.Attempt = cmp.Or(r.Attempt, &Attempt{})
		r.Attempt.walk(w)
	}
	if has(w, r.Former != nil) {
		r.Former = cmp.Or(r.Former, &Former{})
		w.text(&r.Former.ServerURL)
		w.moment(&r.Former.ExpiresAt)
	}
}

func (i *Identity) walk(w walker) {
	w.text(&i.Source)
	w.text(&i.Version)
}

func (a *Attempt) walk(w walker) {
	a.Identity.walk(w)
	w.text(&a.Account)
	w.moment(&a.At)
	a.Refused = has(w, a.Refused)
	bad := int64(a.Bad)
	w.number(&bad)
	a.Bad = int(bad)
}

// has writes, or reads, whether something holds.
func has(w walker, holds bool) bool {
	var number int64
	if holds {
		number = 1
	}
	w.number(&number)
	return number == 1
}

// keeper writes. Moments are near each other, so each is told by what lies between it and the one before.
type keeper struct {
	bytes []byte
	last  time.Time
}

func (k *keeper) number(n *int64) { k.bytes = binary.AppendVarint(k.bytes, *n) }

func (k *keeper) text(s *string) {
	k.bytes = binary.AppendVarint(k.bytes, int64(len(*s)))
	k.bytes = append(k.bytes, *s...)
}

func (k *keeper) moment(t *time.Time) {
	if !has(k, !t.IsZero()) {
		return
	}
	k.bytes = binary.AppendVarint(k.bytes, t.Unix()-k.last.Unix())
	k.bytes = binary.AppendVarint(k.bytes, int64(t.Nanosecond()-k.last.Nanosecond()))
	k.last = *t
}

// reader reads what a keeper wrote.
type reader struct {
	rest   string
	last   time.Time
	failed bool
}

func (r *reader) number(n *int64) {
	var bits uint64
	for i := range min(len(r.rest), binary.MaxVarintLen64) {
		b := r.rest[i]
		bits |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			r.rest = r.rest[i+1:]
			*n = int64(bits>>1) ^ -int64(bits&1) // as binary.AppendVarint writes negative numbers
			return
		}
	}
	*n, r.rest, r.failed = 0, "", true
}

func (r *reader) text(s *string) {
	var length int64
	r.number(&length)
	if length < 0 || length > int64(len(r.rest)) {
		r.rest, r.failed = "", true
		return
	}
	*s, r.rest = r.rest[:length], r.rest[length:]
}

func (r *reader) moment(t *time.Time) {
	if !has(r, false) {
		return
	}
	var seconds, nanoseconds int64
	r.number(&seconds)
	r.number(&nanoseconds)
	*t = time.Unix(r.last.Unix()+seconds, int64(r.last.Nanosecond())+nanoseconds).UTC()
	r.last = *t
}
