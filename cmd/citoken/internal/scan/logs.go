// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package scan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/hashicorp/go-retryablehttp"
)

// mostLog bounds what is read of one log archive.
const mostLog = 2 << 30

// Run is a pipeline run whose logs are to be looked through.
type Run struct {
	// Getenv gives what the CI system tells of the run.
	Getenv func(string) string
	// ID of another run than the one that this process is in; empty for that one.
	ID string
}

// Logs looks through the logs of the run: GitHub's with GITHUB_TOKEN (actions: read),
// GitLab's with GITLAB_TOKEN (read_api).
func (s *Scanner) Logs(ctx context.Context, run Run) error {
	switch {
	case run.Getenv("GITHUB_ACTIONS") == "true":
		return s.githubLogs(ctx, run)
	case run.Getenv("GITLAB_CI") == "true":
		return s.gitlabLogs(ctx, run)
	}
	return errors.New("scan: logs: neither GITHUB_ACTIONS nor GITLAB_CI is set; give a log on stdin instead: citoken scan - <job.log")
}

func (r Run) id(variable string) string {
	if r.ID != "" {
		return r.ID
	}
	return r.Getenv(variable)
}

// githubLogs are one ZIP file, which exists when the run is over.
func (s *Scanner) githubLogs(ctx context.Context, run Run) error {
	id := run.id("GITHUB_RUN_ID")
	address := fmt.Sprintf("%s/repos/%s/actions/runs/%s/logs", strings.TrimRight(run.Getenv("GITHUB_API_URL"), "/"), run.Getenv("GITHUB_REPOSITORY"), url.PathEscape(id))
	body, err := fetch(ctx, address, run.Getenv("GITHUB_TOKEN"))
	if err != nil {
		return err
	}
	defer body.Close()
	file, err := os.CreateTemp("", "citoken-logs-*.zip")
	if err != nil {
		return fmt.Errorf("scan: logs: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = io.Copy(file, io.LimitReader(body, mostLog))
	if _, seek := file.Seek(0, io.SeekStart); err == nil {
		err = seek
	}
	if err == nil {
		err = s.Stream(ctx, "run-"+id+".zip", file)
	}
	return errors.Join(err, file.Close())
}

// gitlabLogs are one text a job.
func (s *Scanner) gitlabLogs(ctx context.Context, run Run) error {
	project := strings.TrimRight(run.Getenv("CI_API_V4_URL"), "/") + "/projects/" + url.PathEscape(run.Getenv("CI_PROJECT_ID"))
	token := run.Getenv("GITLAB_TOKEN")
	for page := 1; ; page++ {
		jobs, err := gitlabJobs(ctx, fmt.Sprintf("%s/pipelines/%s/jobs?include_retried=true&per_page=100&page=%d", project, url.PathEscape(run.id("CI_PIPELINE_ID")), page), token)
		if err != nil || len(jobs) == 0 {
			return err
		}
		for _, job := range jobs {
			log, err := fetch(ctx, fmt.Sprintf("%s/jobs/%d/trace", project, job.ID), token)
			if err != nil {
				return err
			}
			if err := errors.Join(s.Stream(ctx, fmt.Sprintf("job-%d-%s.log", job.ID, job.Name), log), log.Close()); err != nil {
				return err
			}
		}
	}
}

type gitlabJob struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

func gitlabJobs(ctx context.Context, address, token string) ([]gitlabJob, error) {
	body, err := fetch(ctx, address, token)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var jobs []gitlabJob
	if err := json.NewDecoder(body).Decode(&jobs); err != nil {
		return nil, fmt.Errorf("scan: logs: list of jobs: %w", err)
	}
	return jobs, nil
}

// fetch makes a GET. The standard library leaves the Authorization out where it is
// sent on to another host, as GitHub does for its archives; GitLab's own header for
// tokens it would take along.
func fetch(ctx context.Context, address, token string) (io.ReadCloser, error) {
	request, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("scan: logs: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	client := retryablehttp.NewClient()
	client.Logger = nil
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("scan: logs: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, fmt.Errorf("scan: logs: %s answers %s", request.URL.Redacted(), answer.Status)
	}
	return answer.Body, nil
}
