package main

import (
	"maps"
	"sync"
)

// hits count by kind.
type hits struct {
	mu     sync.Mutex
	counts map[kind]int
}

func newHits() *hits { return &hits{counts: map[kind]int{}} }

func (h *hits) add(k kind) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts[k]++
}

func (h *hits) all() map[kind]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.counts)
}

func (h *hits) total() int {
	n := 0
	for _, count := range h.all() {
		n += count
	}
	return n
}
