"""The names of the estimates of accuracy. Nothing heavy is imported: options are made from them."""

# From the logits of the pass that evaluates, in the order of tables. The first was the best where they were compared.
STANDARD = ("cott", "cot", "atc_entropy", "atc", "average_confidence", "doc")
TRANSPORTED = ("cott", "cot")  # those that compare class shares
# What costs more than that, only by name: passes over corrupted images, critics to train, or several models.
NUCLEAR, DIS2, GDE, ALINE = "nuclear", "dis2", "gde", "aline"
BY_NAME = (NUCLEAR, DIS2, GDE, ALINE)
OF_SEVERAL = {GDE: 2, ALINE: 5}  # and of how many models at least
ON_THE_LINE = 0.95  # R² from which on agreements of pairs of models count as on a line
MOST_CORRUPTED = 500  # images of ID-val that are corrupted for the nuclear norm
ONLY_STANDARD = "standard"  # of --estimate: no other
