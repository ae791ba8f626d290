package rendering

import (
	"fmt"
	"strings"
)

// widest is the largest width and precision in a format.
const widest = 1000

func printValues(values ...any) string { return fmt.Sprint(values...) }

func printLine(values ...any) string { return fmt.Sprintln(values...) }

// printFormatted is Go's printf, one verb at a time: so a format can neither name an argument twice, nor take a width
// out of thin air or from an argument, and the result is looked at after each verb.
func printFormatted(format string, values ...any) (string, error) {
	var out strings.Builder
	for format != "" {
		text, rest, found := strings.Cut(format, "%")
		out.WriteString(text)
		if !found {
			break
		}
		if strings.HasPrefix(rest, "%") {
			out.WriteByte('%')
			format = rest[1:]
			continue
		}
		verb, err := firstVerb(rest)
		if err != nil {
			return "", err
		}
		if len(values) == 0 || !fits(verb, values[0]) {
			return "", because(Unsuitable)
		}
		_, _ = fmt.Fprintf(&out, "%"+verb, values[0]) // a Builder takes everything
		format, values = rest[len(verb):], values[1:]
		if out.Len() > maxText {
			return "", because(TooLarge)
		}
	}
	if len(values) > 0 {
		return "", because(Unsuitable)
	}
	return out.String(), nil
}

// fits reports whether a verb is one for a value: for any other, Go's printf writes a complaint into the text. Lists and
// dicts have no width, which would be that of each element.
func fits(verb string, value any) bool {
	letter := verb[len(verb)-1]
	switch value.(type) {
	case string:
		return strings.IndexByte("svqxX", letter) >= 0
	case int, int64:
		return strings.IndexByte("dvbcoOqxXU", letter) >= 0
	case float64:
		return strings.IndexByte("veEfFgGbxX", letter) >= 0
	case bool:
		return strings.IndexByte("tv", letter) >= 0
	default:
		return verb == "v"
	}
}

// firstVerb is the verb that a format begins with, after the percent sign, with its flags, width and precision.
func firstVerb(format string) (string, error) {
	number := 0
	for i, c := range format {
		switch {
		case c >= '0' && c <= '9':
			if number = 10*number + int(c-'0'); number > widest {
				return "", because(Unprintable)
			}
		case strings.ContainsRune("+-# ", c):
		case c == '.':
			number = 0
		case strings.ContainsRune("vtbcdoOqxXUeEfFgGs", c):
			return format[:i+1], nil
		default:
			return "", because(Unprintable)
		}
	}
	return "", because(Unprintable)
}
