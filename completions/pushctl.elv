set edit:completion:arg-completer[pushctl] = { |@words|
    var index = (count $words)
    set index = (- $index 1)

    put (env _CLAP_IFS="\n" _CLAP_COMPLETE_INDEX=(to-string $index) PUSHCTL_COMPLETE="elvish" pushctl -- $@words) | to-lines
}
