// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlabtest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// params reads a body's parameters and collects what is wrong with them, in the
// words of GitLab's validator.
type params struct {
	from   map[string]any
	faults []string
}

func (p *params) fault(format string, args ...any) {
	p.faults = append(p.faults, fmt.Sprintf(format, args...))
}

// refusal is the answer for what was wrong; nil where nothing was.
func (p *params) refusal() *answer {
	if len(p.faults) == 0 {
		return nil
	}
	return &answer{status: http.StatusBadRequest, body: map[string]any{"error": strings.Join(p.faults, ", ")}}
}

// text is a required string.
func (p *params) text(name string) string {
	value, ok := p.from[name]
	if !ok {
		p.fault("%s is missing", name)
		return ""
	}
	text, ok := value.(string)
	if !ok {
		p.fault("%s is invalid", name)
	}
	return text
}

// texts is a required list of strings out of those that are known.
func (p *params) texts(name string, known []string) []string {
	value, ok := p.from[name]
	if !ok {
		p.fault("%s is missing", name)
		return nil
	}
	items, ok := value.([]any)
	if !ok {
		p.fault("%s is invalid", name)
		return nil
	}
	var list []string
	for _, item := range items {
		text, ok := item.(string)
		if !ok || !slices.Contains(known, text) {
			p.fault("%s does not have a valid value", name)
			return nil
		}
		list = append(list, text)
	}
	return list
}

// level is an optional access level; GitLab's default is Maintainer.
func (p *params) level(name string) int {
	value, ok := p.from[name]
	if !ok {
		return Maintainer
	}
	number, ok := value.(float64)
	switch {
	case !ok || number != float64(int(number)):
		p.fault("%s is invalid", name)
	case !slices.Contains([]int{Guest, 15, Reporter, Developer, Maintainer, Owner}, int(number)):
		p.fault("%s does not have a valid value", name)
	}
	return int(number)
}

// time is an optional point in time or day; zero where it is not given.
func (p *params) time(name string) time.Time {
	value, ok := p.from[name]
	if !ok || value == nil {
		return time.Time{}
	}
	text, _ := value.(string)
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	p.fault("%s is invalid", name)
	return time.Time{}
}

// date is time cut to its day, as GitLab cuts it: a time of day is lost without
// a word.
func (p *params) date(name string) time.Time { return midnight(p.time(name)) }
