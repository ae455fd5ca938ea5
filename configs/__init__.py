"""The shipped configs: installed as the package `harness.configs`, so that `harness train mnist` finds them."""
