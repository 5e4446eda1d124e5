// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"
	"unicode/utf8"
)

// scanner reads the few values that are wanted out of a long JSON text and passes
// over the rest without keeping it. What it passes over it does not judge.
type scanner struct {
	in *bufio.Reader
	// left is set by leave: the object that is being read has been passed over.
	left bool
	// scratch is where a text is put together.
	scratch []byte
}

// longestText bounds a value or a key that is kept.
const longestText = 64 << 10

var (
	errForm = errors.New("it is not the JSON that was expected")
	errLong = errors.New("a value in it is too long")
)

// chunkSize is more than GitHub says of one repository, which is what most tokens are for.
const chunkSize = 8 << 10

func newScanner(r io.Reader) *scanner { return &scanner{in: bufio.NewReaderSize(r, chunkSize)} }

// next is the next byte that is not white space.
func (s *scanner) next() (byte, error) {
	for {
		b, err := s.in.ReadByte()
		if err == io.EOF {
			return 0, io.ErrUnexpectedEOF
		}
		if err != nil || b != ' ' && b != '\n' && b != '\r' && b != '\t' {
			return b, err
		}
	}
}

// expect passes over one byte that must be there.
func (s *scanner) expect(want byte) error {
	b, err := s.next()
	if err == nil && b != want {
		return errForm
	}
	return err
}

// object reads an object. member is called at each value and must pass it.
func (s *scanner) object(member func(key string) error) error {
	return s.list('{', '}', func() error {
		key, err := s.text()
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		return member(key)
	})
}

// array reads an array. element is called at each value and must pass it.
func (s *scanner) array(element func() error) error { return s.list('[', ']', element) }

func (s *scanner) list(begin, end byte, item func() error) error {
	if err := s.expect(begin); err != nil {
		return err
	}
	b, err := s.next()
	if err != nil || b == end {
		return err
	}
	if err := s.in.UnreadByte(); err != nil {
		return err
	}
	for {
		if err := item(); err != nil {
			return err
		}
		if s.left {
			s.left = false
			return nil
		}
		b, err := s.next()
		if err != nil || b == end {
			return err
		}
		if b != ',' {
			return errForm
		}
	}
}

// text reads a string.
func (s *scanner) text() (string, error) {
	if err := s.expect('"'); err != nil {
		return "", err
	}
	raw := s.scratch[:0]
	escaped := false
	for {
		chunk, err := s.buffered()
		if err != nil {
			return "", err
		}
		i := bytes.IndexAny(chunk, `"\`)
		if i < 0 {
			raw = append(raw, chunk...)
			s.drop(len(chunk))
		} else {
			raw = append(raw, chunk[:i]...)
			s.drop(i + 1)
			if chunk[i] == '"' {
				break
			}
			b, err := s.in.ReadByte()
			if err != nil {
				return "", err
			}
			raw, escaped = append(raw, '\\', b), true
		}
		if len(raw) > longestText {
			return "", errLong
		}
	}
	s.scratch = raw
	if !utf8.Valid(raw) {
		return "", errForm
	}
	if !escaped {
		return string(raw), nil
	}
	var plain string
	if json.Unmarshal([]byte(`"`+string(raw)+`"`), &plain) != nil {
		return "", errForm
	}
	return plain, nil
}

// texts reads an object of strings.
func (s *scanner) texts() (map[string]string, error) {
	all := map[string]string{}
	err := s.object(func(key string) error {
		value, err := s.text()
		all[key] = value
		return err
	})
	return all, err
}

// time reads a string that is a time of RFC 3339.
func (s *scanner) time() (time.Time, error) {
	value, err := s.text()
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return time.Time{}, errForm
	}
	return t, nil
}

// skip passes over a value.
func (s *scanner) skip() error {
	b, err := s.next()
	if err != nil {
		return err
	}
	switch b {
	case '"':
		return s.skipText()
	case '{', '[':
		return s.skipNested()
	case ',', ':', '}', ']':
		return errForm
	}
	return s.skipLiteral()
}

// leave passes over the rest of the object that is being read.
func (s *scanner) leave() error {
	s.left = true
	return s.skipNested()
}

// skipNested passes over everything up to the end of the object or array that has
// begun. A token for fifty repositories comes with 300 KB of this: it works on all
// that has arrived at once.
func (s *scanner) skipNested() error {
	skim := skimmer{depth: 1}
	return s.skim(&skim)
}

// skipText passes over the rest of a string that has begun.
func (s *scanner) skipText() error {
	skim := skimmer{inText: true}
	return s.skim(&skim)
}

func (s *scanner) skim(skim *skimmer) error {
	for {
		chunk, err := s.buffered()
		if err != nil {
			return err
		}
		passed, done := skim.pass(chunk)
		s.drop(passed)
		if done {
			return nil
		}
	}
}

// skimmer passes over JSON until it is outside of everything that it was in.
type skimmer struct {
	depth  int
	inText bool
	// escaped: the next byte of the text stands for itself.
	escaped bool
}

// pass goes through a part of the text and says how far it came.
func (k *skimmer) pass(text []byte) (passed int, done bool) {
	i := 0
	for i < len(text) {
		if k.inText {
			i += k.passText(text[i:])
			if k.inText || k.depth == 0 {
				return i, !k.inText
			}
			continue
		}
		switch text[i] {
		case '{', '[':
			k.depth++
		case '}', ']':
			k.depth--
		case '"':
			k.inText = true
		}
		i++
		if k.depth == 0 {
			return i, true
		}
	}
	return i, false
}

// passText goes on to the end of a string, or of the part that is there.
func (k *skimmer) passText(text []byte) (passed int) {
	for i := 0; i < len(text); {
		if k.escaped {
			k.escaped = false
			i++
			continue
		}
		end := bytes.IndexByte(text[i:], '"')
		before := text[i:]
		if end >= 0 {
			before = text[i : i+end]
		}
		if escape := bytes.IndexByte(before, '\\'); escape >= 0 {
			k.escaped = true
			i += escape + 1
			continue
		}
		if end >= 0 {
			k.inText = false
			return i + end + 1
		}
		break
	}
	return len(text)
}

// skipLiteral passes over the rest of a number, true, false or null.
func (s *scanner) skipLiteral() error {
	for {
		b, err := s.in.ReadByte()
		if err != nil {
			return err
		}
		switch b {
		case ',', '}', ']', ' ', '\n', '\r', '\t':
			return s.in.UnreadByte()
		}
	}
}

// buffered is what has arrived and is not yet passed; at least one byte.
func (s *scanner) buffered() ([]byte, error) {
	if _, err := s.in.Peek(1); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return s.in.Peek(s.in.Buffered())
}

// drop passes over bytes that buffered has shown.
func (s *scanner) drop(n int) {
	// These bytes are in the buffer: this cannot fail.
	_, _ = s.in.Discard(n)
}
