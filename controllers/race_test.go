//go:build race

package controllers

// racing: the race detector has sync.Pool forget at random what it holds, so that more is allocated.
const racing = true
