complete --keep-order --exclusive --command pushctl --arguments "(PUSHCTL_COMPLETE=fish pushctl -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
