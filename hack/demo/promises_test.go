package main

import (
	"slices"
	"testing"
)

// whole is a story in which every promise is kept.
func whole() []observation {
	return []observation{
		target(1, "1", newToken("a"), byPassword()), accepted(1, newToken("a")),
		target(18, "1", newToken("b"), byRefresh()), accepted(18, newToken("b")),
		targetDeletion{after(19), "billing", "billing-token"}, target(19.25, "2", newToken("b"), byRefresh()),
		target(36, "2", newToken("c"), byRefresh()), accepted(36, newToken("c")),
		target(54, "2", newToken("d"), byRefresh()), accepted(54, newToken("d")),
		target(72, "2", newToken("e"), overLimit()), accepted(72, newToken("e")),
	}
}

func promisesAfter(story []observation) *promises {
	p := newPromises(begin)
	s := newStory(p)
	for _, o := range story {
		s.tell(o)
	}
	return p
}

func TestPromisesLeftOpen(t *testing.T) {
	const (
		textLogin      = "a login with the password"
		textRefreshes  = "3 refreshes after one login"
		textFallBack   = "a fall-back login at the refresh limit"
		textRepair     = "a deleted target that comes back"
		textAcceptance = "Secret Server accepts each token"
	)
	without := func(unwanted ...int) []observation {
		var rest []observation
		for i, o := range whole() {
			if !slices.Contains(unwanted, i) {
				rest = append(rest, o)
			}
		}
		return rest
	}
	anotherLogin := without()
	anotherLogin[10] = target(72, "2", newToken("e"), byPassword())
	altered := without()
	altered[4] = target(19, "1", newToken("x"), grant{})
	altered[5] = target(19.25, "1", newToken("b"), byRefresh())
	tests := map[string]struct {
		story []observation
		want  []string
	}{
		"nothing happened":                   {nil, []string{textLogin, textRefreshes, textFallBack, textRepair, textAcceptance}},
		"everything happened":                {whole(), nil},
		"two refreshes only":                 {without(8, 9, 10, 11), []string{textRefreshes, textFallBack}},
		"no login at the limit":              {without(10, 11), []string{textFallBack}},
		"a login, but before the limit":      {without(8, 9), []string{textRefreshes, textFallBack}},
		"a login, but not through the limit": {anotherLogin, []string{textFallBack}},
		"the target stays away":              {without(5, 6, 7, 8, 9, 10, 11), []string{textRefreshes, textFallBack, textRepair}},
		"the target was altered only":        {altered, []string{textRepair}},
		"no token was tried":                 {without(1, 3, 7, 9, 11), []string{textAcceptance}},
		"one token of many was refused": {
			append(whole(), tokenTried{moment: after(80), session: "billing", token: newToken("e"), answer: "403 Forbidden"}),
			[]string{textAcceptance},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := promisesAfter(test.story).open(); !slices.Equal(got, test.want) {
				t.Errorf("open: %q, want %q", got, test.want)
			}
		})
	}
}

func TestPromisesTable(t *testing.T) {
	tests := map[string]struct {
		story []observation
		want  string
	}{
		"of nothing": {nil, `
PROMISE                                  SEEN
a login with the password                no
3 refreshes after one login              no
a fall-back login at the refresh limit   no
a deleted target that comes back         no
Secret Server accepts each token         no    0 of 0
`},
		"of everything": {whole(), `
PROMISE                                  SEEN
a login with the password                yes   2 times, first at 1.0 s (billing)
3 refreshes after one login              yes   once, at 54.0 s (billing)
a fall-back login at the refresh limit   yes   once, at 72.0 s (billing)
a deleted target that comes back         yes   once, at 19.2 s (billing) after 0.25 s
Secret Server accepts each token         yes   5 of 5
`},
	}
	for name, test := range tests {
		t.Run("of "+name, func(t *testing.T) {
			if got := "\n" + promisesAfter(test.story).table(); got != test.want {
				t.Errorf("shown:%s\nwant:%s", got, test.want)
			}
		})
	}
}
