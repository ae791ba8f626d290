package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A value is one that a user of the chart may set.
type value struct {
	name     string // as in --set
	fallback string // what holds without it, as JSON
	meaning  string
}

// readValues returns the values of a values.yaml in their order: each that has a
// comment directly above it. A mapping of values with comments is a group and no
// value itself.
func readValues(path string) ([]value, error) {
	content, err := os.ReadFile(path) //nolint:gosec // of the repository
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	values, err := valuesOf("", document.Content[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return values, nil
}

func valuesOf(prefix string, mapping *yaml.Node) ([]value, error) {
	var all []value
	for i := 0; i < len(mapping.Content); i += 2 {
		key, content := mapping.Content[i], mapping.Content[i+1]
		name := prefix + key.Value
		if isGroup(content) {
			inner, err := valuesOf(name+".", content)
			if err != nil {
				return nil, err
			}
			all = append(all, inner...)
			continue
		}
		meaning := lastParagraph(key.HeadComment)
		if meaning == "" {
			return nil, fmt.Errorf("line %d: %s has no comment directly above it", key.Line, name)
		}
		fallback, err := asJSON(content)
		if err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", key.Line, name, err)
		}
		all = append(all, value{name: name, fallback: fallback, meaning: meaning})
	}
	return all, nil
}

func isGroup(node *yaml.Node) bool {
	if node.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i < len(node.Content); i += 2 {
		if node.Content[i].HeadComment != "" {
			return true
		}
	}
	return false
}

// lastParagraph is the comment's part that stands directly above its value.
func lastParagraph(comment string) string {
	paragraphs := strings.Split(comment, "\n\n")
	var words []string
	for line := range strings.Lines(paragraphs[len(paragraphs)-1]) {
		words = append(words, strings.TrimSpace(strings.TrimPrefix(line, "#")))
	}
	return strings.Join(words, " ")
}

func asJSON(node *yaml.Node) (string, error) {
	var content any
	if err := node.Decode(&content); err != nil {
		return "", err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(content)
	return strings.TrimSpace(out.String()), err
}
