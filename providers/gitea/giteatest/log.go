// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package giteatest

import (
	"fmt"
	"os"
)

// logFile is what the process says, kept for the error of a start that failed.
type logFile struct {
	file *os.File
}

func createLog(path string) (*logFile, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("giteatest: log: %w", err)
	}
	return &logFile{file: file}, nil
}

// tail is the last of what was said.
func (l *logFile) tail() []byte {
	const most = 4096
	text, err := os.ReadFile(l.file.Name())
	if err != nil {
		return nil
	}
	return text[max(0, len(text)-most):]
}

func (l *logFile) close() { _ = l.file.Close() }
