"""What is read from daily reports: the team board, project hours, statistics. Set-based: a fixed number of statements at any size."""
