"""`omni evaluate senses`: how well the ears hear and the voice speaks, each for itself, without the mind.

Whatever is measured is streamed block by block, as in use. `subject`, `listener` and `talker` are the files that know
the model; a file of rows (`captions`, `echo`, `sounds`, `understood`, `vocoder`, `seams`, `compute`) makes numbers;
`goals` says what they should be, `command` runs them, `table` shows them.
"""
