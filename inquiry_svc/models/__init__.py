"""Which model answers: the registry on disk, the models that are open, and the judging of one against another.

    registry --names--> swapping --opens--> open_models <--asks-- predicting, explaining, second_opinions
        ^                                                                              |
        '---------------- canary: takes a challenger down <---counts------------------'

`champion` answers. `challenger` answers a share of the texts, the canary, until it is promoted or taken down. `shadow`
answers nobody: it is asked besides, when nobody waits.
"""
