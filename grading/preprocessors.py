"""What nbgrader's own preprocessors get wrong for an honest submission."""

from nbgrader.preprocessors import DeduplicateIds


class ForgetCopies(DeduplicateIds):
    """Make a copied or split cell a plain cell of the learner's.

    nbgrader leaves it with empty metadata, takes that for an old version of its format,
    and grades nobody after this student.
    """

    def preprocess_cell(self, cell, resources, cell_index):
        """Drop the metadata that nbgrader has emptied."""
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if cell.metadata.get("nbgrader") == {}:
            del cell.metadata["nbgrader"]
        return cell, resources
