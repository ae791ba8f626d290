package rendering

import "time"

// date writes a time as Go's layout says, in UTC: other time zones are in files.
func date(layout, text string) (string, error) {
	t, err := moment(text)
	return t.Format(layout), err
}

// unixEpoch is a time in seconds since 1970.
func unixEpoch(text string) (int64, error) {
	t, err := moment(text)
	return t.Unix(), err
}

// moment is the time that a text such as .expiresAt tells.
func moment(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, because(Unsuitable) // the parser's own error would tell the text
	}
	return t.UTC(), nil
}
