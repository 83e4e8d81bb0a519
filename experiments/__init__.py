"""What the experiments of the chapters share: data, networks, training, figures.

Everything is small enough for a reader's minute on one core. An experiment is a
function of a seed; what a chapter reports is the spread over several seeds.
"""
