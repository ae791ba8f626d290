package controllers

import "sync"

// mostWords bounds what words keeps. A cluster has fewer namespaces, URLs and names of Secrets than that; one that has more
// keeps some of them more than once.
const mostWords = 4096

// words keeps one copy of each string that many cached objects have in common. Decoded, each object has its own.
type words struct {
	mu    sync.Mutex
	known map[string]string
}

func newWords() *words { return &words{known: map[string]string{}} }

// share replaces strings by their one copy.
func (w *words) share(texts ...*string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range texts {
		if *text == "" {
			continue
		}
		known, ok := w.known[*text]
		if !ok {
			if len(w.known) >= mostWords {
				clear(w.known)
			}
			known = *text
			w.known[known] = known
		}
		*text = known
	}
}
