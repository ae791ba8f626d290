//go:build !race

package session

const racing = false
