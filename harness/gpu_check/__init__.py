"""`harness gpu-check`: what a machine's GPUs do, checked and measured. The first thing to run on new hardware.

Every check is a process of its own under a time limit, as TensorFlow takes hold of a process's cards once and for all;
this one has no TensorFlow, and holds no card. A start costs some 15 seconds on a card, so on one card the time is meant
to go like this (seconds, limits in brackets, which add up to less than the command promises; never run on hardware):

    stage       full        quick      what runs
    trainings   55  (70)    40 (50)    doctor, three runs that have to end equal, and one of each precision, five
                                       processes at a time: nothing is timed here, so they may share the card
    replicas    40  (50)    –          2, then 3 logical GPUs, a process each, in turn: each takes most of the card
    speed       110 (115)   32 (36)    one process that compiles and times one setting after another, and has the card
                                       to itself
    peers       40  (56)    –          PyTorch and JAX where they are installed, a process each

With several cards there is one more process for each number of cards, of at most 25 s for the replicas, and of at most
50 s for the speed.

    plan.py         what is checked on which machine: pure
    processes.py    processes side by side, watched
    trainings.py    the stages `trainings` and `replicas`; judging.py says whether what they found is right
    speed.py        the stages `speed` and `peers`; measuring.py, torch_peer.py and jax_peer.py are what it starts
    report.py       everything found, and its files; tables.py makes it readable, with efficiencies over devices
    check.py        one stage after another
"""
