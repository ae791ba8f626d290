//go:build race

package session

// racing: the race detector has sync.Pool forget at random what it holds, so that more is allocated.
const racing = true
