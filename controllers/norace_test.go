//go:build !race

package controllers

const racing = false
