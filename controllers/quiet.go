package controllers

import (
	"slices"

	"github.com/go-logr/logr"
)

// mostVerbose is the last level that the operator's own calls log at, whatever --zap-log-level says. From level 8 on,
// client-go writes the bodies of requests to the logger that it finds in its context: Secrets, in full.
const mostVerbose = 7

// quietSink lets nothing above mostVerbose through. It hands values on with the line that they belong to, and not before: each
// pass has a logger of its own, and nearly all end without a line.
type quietSink struct {
	logr.LogSink

	values []any
}

// quiet is a logger that client-go cannot write bodies to.
func quiet(logger logr.Logger) logr.Logger {
	if logger.GetSink() == nil {
		return logger
	}
	return logger.WithSink(quietSink{LogSink: logger.GetSink()})
}

func (s quietSink) Enabled(level int) bool {
	return level <= mostVerbose && s.LogSink.Enabled(level)
}

func (s quietSink) Info(level int, message string, keysAndValues ...any) {
	s.LogSink.Info(level, message, slices.Concat(s.values, keysAndValues)...)
}

func (s quietSink) Error(err error, message string, keysAndValues ...any) {
	s.LogSink.Error(err, message, slices.Concat(s.values, keysAndValues)...)
}

func (s quietSink) WithValues(keysAndValues ...any) logr.LogSink {
	return quietSink{s.LogSink, slices.Concat(s.values, keysAndValues)}
}

func (s quietSink) WithName(name string) logr.LogSink {
	return quietSink{s.LogSink.WithName(name), s.values}
}
