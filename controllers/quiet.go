package controllers

import "github.com/go-logr/logr"

// mostVerbose is the last level that the operator's own calls log at, whatever --zap-log-level says. From level 8 on,
// client-go writes the bodies of requests to the logger that it finds in its context: Secrets, in full.
const mostVerbose = 7

// quietSink lets nothing above mostVerbose through.
type quietSink struct{ logr.LogSink }

// quiet is a logger that client-go cannot write bodies to.
func quiet(logger logr.Logger) logr.Logger {
	if logger.GetSink() == nil {
		return logger
	}
	return logger.WithSink(quietSink{logger.GetSink()})
}

func (s quietSink) Enabled(level int) bool {
	return level <= mostVerbose && s.LogSink.Enabled(level)
}

func (s quietSink) WithValues(keysAndValues ...any) logr.LogSink {
	return quietSink{s.LogSink.WithValues(keysAndValues...)}
}

func (s quietSink) WithName(name string) logr.LogSink { return quietSink{s.LogSink.WithName(name)} }
